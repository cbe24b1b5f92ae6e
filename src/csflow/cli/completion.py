"""`csflow completion`: what makes a shell complete commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

PROGRAM, VARIABLE = "csflow", "_CSFLOW_COMPLETE"


@click.command(epilog="Example:  csflow completion fish >~/.config/fish/completions/csflow.fish")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    r"""Print what makes a shell complete the commands and options of csflow.

    \b
    bash  csflow completion bash >~/.local/share/bash-completion/completions/csflow
    zsh   csflow completion zsh >~/.zfunc/_csflow      (with fpath+=~/.zfunc before compinit in ~/.zshrc)
    fish  csflow completion fish >~/.config/fish/completions/csflow.fish
    """
    written = get_completion_class(shell)
    assert written is not None  # noqa: S101  # click brings all three
    click.echo(written(ctx.find_root().command, {}, PROGRAM, VARIABLE).source())
