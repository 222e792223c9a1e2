"""The lab engine's process: ``python -m lab.engine up --stack lab --state DIR …``."""

from __future__ import annotations

import json
import sys

from lab.engine.arguments import stack_arguments
from lab.engine.display import Display
from lab.engine.errors import EngineError
from lab.engine.handler import Catalogue
from lab.engine.refresh import REFRESH_SECONDS
from lab.engine.run import Options, Runner, Stack


def main(arguments: list[str], catalogue: Catalogue) -> int:
    """Run one operation and return the exit code: 0 when it did all that it was asked for."""
    parser = stack_arguments("python -m lab.engine", __doc__, REFRESH_SECONDS)
    parser.add_argument("--preview-only", action="store_true", help="of destroy: only tell")
    args = parser.parse_args(arguments)
    folder = args.project.resolve()
    config_file = args.config_file or folder / f"Pulumi.{args.stack}.yaml"
    display = Display()
    runner = Runner(
        Stack(
            name=args.stack,
            folder=folder,
            config_file=config_file.resolve(),
            state_folder=args.state.resolve(),
        ),
        catalogue,
        display,
    )
    try:
        if args.operation == "outputs":
            print(json.dumps(runner.outputs(show_secrets=args.show_secrets), indent=2))
            return 0
        options = Options(
            refresh=args.refresh,
            refresh_limit=args.refresh_timeout,
            target_types=tuple(args.target_type),
            ignore_protect=args.ignore_protect,
        )
        if args.operation == "destroy":
            return runner.destroy(options, preview=args.preview_only)
        operation = {"preview": runner.preview, "up": runner.up, "refresh": runner.refresh}
        return operation[args.operation](options)
    except EngineError as error:
        display.error("", str(error))
        return 1


if __name__ == "__main__":
    from lab.engine.providers import CATALOGUE

    sys.exit(main(sys.argv[1:], CATALOGUE))
