"""The commands, a module per group; see :data:`flowinfra.cli.main.COMMANDS`."""
