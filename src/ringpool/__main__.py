"""``python -m ringpool``: the arguments, and which command gets them."""

import argparse
import signal
import sys

from ringpool.commands import bench, run, soak
from ringpool.commands.trouble import say
from ringpool.version import version

COMMANDS = (run, bench, soak)


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message):
        self.exit(2, f"ringpool: {message} (see {self.prog} --help)\n")


class CommandParser(Parser):
    """Takes options between the positional arguments as well, which argparse alone does from 3.13.1 on."""

    _intermixed = False

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.set_defaults(parser=self)

    def parse_known_args(self, args=None, namespace=None):
        if self._intermixed:
            return super().parse_known_args(args, namespace)
        self._intermixed = True
        try:
            return self.parse_known_intermixed_args(args, namespace)
        finally:
            self._intermixed = False


def parser():
    main = Parser(prog="python -m ringpool", description="Worker queues for Python, from the command line.")
    main.add_argument("--version", action="version", version=f"ringpool {version()}")
    commands = main.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=CommandParser)
    for command in COMMANDS:
        command.add_parser(commands)
    return main


def main(arguments=None):
    """Run the command that *arguments* name, of the process when None; return its exit status."""
    arguments, unknown = parser().parse_known_args(arguments)
    if unknown:
        arguments.parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    try:
        return arguments.command(arguments)
    except KeyboardInterrupt:
        say("interrupted")  # before the command itself looked out for it
        return run.STATUS_SIGNAL + signal.SIGINT


if __name__ == "__main__":
    sys.exit(main())
