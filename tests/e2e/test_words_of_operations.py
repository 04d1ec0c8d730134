"""What operations on a stack say: once, apart from the plan, and with a remedy that works."""

from __future__ import annotations

from support.example import Example


def test_a_warning_is_told_once_and_progress_stands_apart(example: Example) -> None:
    """A warning of the program is a finding of the plan and nothing else; a blank line ends the list of what was done."""
    example.edit("stacks/__main__.py", "fic.export", 'import pulumi\n\npulumi.log.warn("careful")\nfic.export')
    shown = example.flowinfra("preview").stderr
    assert shown.count("careful") == 1, shown
    done = example.flowinfra("up", "--yes").stderr
    assert done.count("careful") == 1, done
    lines = done.splitlines()
    assert lines[lines.index("  create   LocalDeployment census-deployment") + 1] == ""


def test_a_warning_is_told_where_there_is_no_plan(example: Example) -> None:
    """An operation that fails tells what was said until then."""
    example.edit("stacks/__main__.py", "fic.export", 'import pulumi\n\npulumi.log.warn("careful")\n1 / 0\nfic.export')
    done = example.flowinfra("preview", check=False)
    assert done.returncode != 0
    assert done.stderr.count("warning: careful") == 1, done.stderr


def test_without_a_lock_cancel_asks_nothing_and_a_refresh_names_what_it_changes_only(deployed: Example) -> None:
    """There is nothing to confirm, and nothing to tell of resources that are as they were."""
    assert deployed.flowinfra("cancel").stdout == "there is no lock\n"
    done = deployed.flowinfra("refresh", "--yes")
    assert "No changes" in done.stdout
    assert "Bundle" not in done.stderr


def test_what_a_setting_protects_is_deleted_after_what_the_refusal_says(example: Example) -> None:
    """`protect` is in no program here: the refusal names the setting, and following it works."""
    example.flowinfra("config", "set", "flowinfra:protect", "true")
    example.flowinfra("up", "--yes")
    refused = example.flowinfra("destroy", "--yes", check=False)
    assert refused.returncode != 0
    assert "FI606" in refused.stderr
    assert "flowinfra config set flowinfra:protect false --stack dev" in refused.stderr
    example.flowinfra("config", "set", "flowinfra:protect", "false", "--stack", "dev")
    example.flowinfra("up", "--yes")
    assert "4 deleted" in example.flowinfra("destroy", "--yes").stdout


def test_a_plan_made_offline_is_not_kept(example: Example) -> None:
    """It says why and what to leave out; the file is not written."""
    refused = example.flowinfra("preview", "--offline", "--save-plan", "plan.json", check=False)
    assert refused.returncode != 0
    assert "without --offline" in refused.stderr
    assert not (example.folder / "plan.json").exists()
