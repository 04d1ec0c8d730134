"""``completion``: the script that makes a shell complete what one types behind ``flowinfra``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import click

from flowinfra.cli.console import Console
from flowinfra.cli.exits import Exit
from flowinfra.cli.options import command

__all__ = ["completion"]

# bash 3.2, which macOS has, knows no compopt and no nosort: there a space too many is added, and names are sorted.
_BASH: Final = r"""_flowinfra_completion() {
    local line treatment=
    COMPREPLY=()
    while IFS= read -r line; do
        if [[ -z $treatment ]]; then
            treatment=$line
        else
            COMPREPLY+=("$line")
        fi
    done < <(_FLOWINFRA_COMPLETE=bash "$1" "${COMP_LINE:0:COMP_POINT}" "$2" 2>/dev/null)
    case $treatment in
        open) compopt -o nospace 2>/dev/null ;;
        names) compopt -o filenames 2>/dev/null ;;
        files) compopt -o default 2>/dev/null ;;
        folders) compopt -o dirnames 2>/dev/null ;;
    esac
}
complete -o nosort -F _flowinfra_completion flowinfra 2>/dev/null || complete -F _flowinfra_completion flowinfra
"""

_ZSH: Final = r"""#compdef flowinfra
_flowinfra() {
    local -a lines
    lines=("${(@f)$(_FLOWINFRA_COMPLETE=zsh "${words[1]}" "${(@Q)words[2,CURRENT]}" 2>/dev/null)}")
    local treatment=${lines[1]}
    shift lines
    case $treatment in
        files) _files ;;
        folders) _files -/ ;;
        names) (( $#lines )) && _describe -V flowinfra lines -S '' -f ;;
        open) (( $#lines )) && _describe -V flowinfra lines -S '' ;;
        words) (( $#lines )) && _describe -V flowinfra lines ;;
    esac
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    _flowinfra "$@"
else
    (( $+functions[compdef] )) || { autoload -Uz compinit && compinit; }
    compdef _flowinfra flowinfra
fi
"""

_FISH: Final = r"""function __flowinfra_complete
    set -l words (commandline -opc)
    set -l lines (env _FLOWINFRA_COMPLETE=fish $words (commandline -ct) 2>/dev/null)
    switch "$lines[1]"
        case files
            __fish_complete_path (commandline -ct)
        case folders
            __fish_complete_directories (commandline -ct)
        case '*'
            if set -q lines[2]
                printf '%s\n' $lines[2..-1]
            end
    end
end
complete --command flowinfra --no-files --keep-order --arguments '(__flowinfra_complete)'
"""

_SCRIPTS: Final[Mapping[str, str]] = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}


@click.command()
@click.argument("shell", type=click.Choice(list(_SCRIPTS)))
@command
def completion(console: Console, shell: str) -> Exit:
    """Print the script that makes a shell complete commands, options, flow files, parameters, stacks and runs.

    \b
    bash  eval "$(flowinfra completion bash)"   in ~/.bashrc
    zsh   eval "$(flowinfra completion zsh)"    in ~/.zshrc
    fish  flowinfra completion fish > ~/.config/fish/completions/flowinfra.fish
    """  # noqa: D301 - click wants the character itself, in front of lines that stay as they are
    if console.as_json:
        console.document({"shell": shell, "script": _SCRIPTS[shell]})
    else:
        console.data(_SCRIPTS[shell])
    return Exit.OK
