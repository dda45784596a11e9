"""The subcommands that this package adds to `zoo`: one module each, with a function of the module's name."""
