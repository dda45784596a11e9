"""The subcommands of `zoo`: one module each, with a function of the module's name."""
