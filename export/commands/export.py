"""`zoo export`: a run becomes a bundle."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, cast

import typer

from export.console import CheckPrinter, Sign, Verbose, silent
from export.formats import FORMATS, Option
from zoo.cli.console import AsJson, Overwrite, print_json, quiet_tensorflow
from zoo.errors import UserError
from zoo.files import check_free, check_run


def _with_options_of_formats(command: Callable[..., None]) -> Callable[..., None]:
    """The command with an option on the command line for every option of a registered format."""
    signature = inspect.signature(command, eval_str=True)
    made = [each for each in signature.parameters.values() if each.kind is not inspect.Parameter.VAR_KEYWORD]
    made += map(_parameter, _options_of_formats().values())
    command.__signature__ = signature.replace(parameters=made)  # type: ignore[attr-defined]
    command.__annotations__ = {each.name: each.annotation for each in made}
    return command


def _options_of_formats() -> dict[str, Option]:
    return {option.name: option for made in FORMATS.values() for option in made.options}


def _parameter(option: Option) -> inspect.Parameter:
    kind: object = str if option.is_list else bool if option.kind is bool else option.kind | None
    flag = f"--{option.name.replace('_', '-')}"
    about = f"{option.about} Separated by commas." if option.is_list else option.about
    annotation = Annotated[kind, typer.Option(flag, help=about)]  # type: ignore[valid-type]
    default = "" if option.is_list else option.default
    return inspect.Parameter(option.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


@_with_options_of_formats
def export(
    run: Annotated[Path, typer.Argument(help="The folder of a run.")],
    out: Annotated[Path, typer.Option(help="The folder of the bundle.")],
    formats: Annotated[
        str,
        typer.Option(
            "--format", help=f"Formats, separated by commas, of {', '.join(FORMATS)}. By default all are written."
        ),
    ] = "",
    k: Annotated[int | None, typer.Option("-k", help="Items that recommend gives, by default up to 100.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="What quantized files may lose, e.g. export.overlap=0.8.")
    ] = None,
    overwrite: Overwrite = False,
    sign: Sign = None,
    verbose: Verbose = False,
    as_json: AsJson = False,
    **options: object,
) -> None:
    """Export a run and verify every artefact against the trained model."""
    limits = _limits(settings or ())
    check_free(out, overwrite, "manifest.json")
    check_run(run)
    quiet_tensorflow()
    from export.bundle.options import Options, option_values
    from export.bundle.publishing import export as export_run

    # Wrong options are told before the run is read.
    checked = Options(tuple(_names(formats) or FORMATS), k, option_values(_split(options)))
    with CheckPrinter(verbose) as print_line:
        bundle = export_run(
            run,
            out,
            checked.formats,
            k=k,
            limits=limits,
            overwrite=overwrite,
            sign=sign,
            report=silent if as_json else print_line,
            **checked.of_formats,  # type: ignore[arg-type]
        )
    if as_json:
        print_json({"bundle": str(bundle.folder), **bundle.manifest})
    else:
        print(f"Published {bundle.folder}, version {bundle.version}")


def _limits(settings: Sequence[str]) -> Mapping[str, float] | None:
    """What quantized artefacts may lose."""
    from zoo.config import parse_settings

    sections = parse_settings(settings)
    if sections.keys() - {"export"}:
        raise UserError(
            f"--set: received {', '.join(settings)}, and only settings of export can be given here. "
            "Give the others to zoo train."
        )
    return cast("Mapping[str, float] | None", sections.get("export"))


def _split(options: Mapping[str, object]) -> dict[str, object]:
    """The values of options, with several values that commas separate as a list."""
    lists = {name for name, option in _options_of_formats().items() if option.is_list}
    return {name: _names(str(value)) if name in lists else value for name, value in options.items()}


def _names(listed: str) -> list[str]:
    return [name.strip() for name in listed.split(",") if name.strip()]
