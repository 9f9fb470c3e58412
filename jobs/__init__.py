"""The command line and the engines that run jobs; composes the other three packages."""
