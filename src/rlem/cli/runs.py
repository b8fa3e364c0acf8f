"""``rlem train``, ``rlem eval``, ``rlem report``."""

from __future__ import annotations

import hashlib
import shlex
import sys
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from rlem.agents.base import AGENTS, MEMORY_AGENTS, MODEL_AGENTS, REFLEXION
from rlem.cli.memory import open_file
from rlem.cli.options import (
    NearChoice,
    Number,
    agent_config,
    agent_options,
    environment_config,
    environment_options,
    make_config,
    memory_address,
    model_config,
    model_options,
    open_model,
    parse_seeds,
    take,
)
from rlem.cli.streams import stream_options, streams, told
from rlem.core.errors import BudgetExceededError, DataError, RunError, UsageError
from rlem.environments.base import Environment
from rlem.llm.base import LanguageModel
from rlem.runner.records import RunConfig


class _Share(Number):
    """A share between 0 and 1, or none in particular."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return value if isinstance(value, bool) else super().convert(value, param, ctx)


@click.command()
@click.argument("environment")
@click.option("--train", "train_tasks", help="Training set, or range A:B (the shop's: S0).")
@click.option("--test", "test_tasks", help="Held-out set, or range A:B (test).")
@click.option(
    "--epochs", type=click.IntRange(1), default=3, show_default=True, help="Passes over the training set."
)
@click.option("--seeds", default="5", show_default=True, help="A count, or a list as 0,7.")
@click.option("--out", type=click.Path(path_type=Path), help="Run folder (runs/ENVIRONMENT-HASH).")
@click.option(
    "--initial", type=click.Path(path_type=Path), help="Initial experiences: a .yaml pool or an export."
)
@click.option(
    "--memory", "memory_url", help="Memory on a server: postgresql://..., with {seed} if there are several."
)
@environment_options
@model_options
@agent_options
@click.option("-n", "n", type=click.IntRange(1), help="n-step Q-learning (left out: Monte-Carlo returns).")
@click.option(
    "--discount", type=Number(0, 1), default=0.9, show_default=True, help="Gamma. The paper's is 1."
)
@click.option("--trace-decay", type=Number(0, 1), help="TD(lambda) in place of -n.")
@click.option("--double", is_flag=True, help="Double Q-learning.")
@click.option("--similarity", help="Similarity preset (webshop-text for the shop; the paper's is webshop).")
@click.option("--task-weight", type=Number(0, 1), help="Weight of the task's similarity (0.5).")
@click.option(
    "--compat",
    type=NearChoice(["default", "reference"]),
    help="reference: with the quirks of the reference code (docs/algorithm.md).",
)
@click.option("--max-experiences", type=click.IntRange(1), help="Capacity of the memory (unbounded).")
@click.option("--max-actions", type=click.IntRange(1), help="Actions kept per experience (unbounded).")
@click.option("--max-bytes", type=click.IntRange(1), help="Capacity in bytes (unbounded; docs/memory.md).")
@click.option(
    "--learn",
    type=NearChoice(["all", "rewarded", "solved"]),
    default="all",
    show_default=True,
    help="Episodes that teach: all, those that earned something, or those that were solved.",
)
@click.option("--skip-solved/--no-skip-solved", default=True, help="Skip tasks solved in epoch 1 afterwards.")
@click.option(
    "--control",
    type=_Share(0, 1, min_open=True, max_open=True),
    is_flag=False,
    flag_value=True,
    default=True,
    metavar="[SHARE]",
    help="Also test without memory, as the control. With a share: withhold memory in so much of the "
    "training, too (docs/control.md). Left out, another option or nothing must follow.",
)
@click.option("--no-control", is_flag=True, help="Test with memory only.")
@click.option("--guard", is_flag=True, help="Mute experiences that do harm; needs --control SHARE.")
@click.option(
    "--batch-size", type=click.IntRange(1), default=1, show_default=True, help="Episodes learned at once."
)
@click.option(
    "--workers", type=click.IntRange(1), help="Threads (1; 8 for endpoints). Never changes results."
)
@stream_options
def train(environment: str, **options: Any) -> None:
    """Train on tasks of ENVIRONMENT; test with and without memory before training and after every epoch.

    Leaves a run folder with report.html, learning_curve.png, summary.json, all episodes and the memory
    file. Killed or stopped, the same command goes on where it was.

    \b
    Examples:
      rlem train webshop
      rlem train webshop --data DIR --seeds 5
      rlem train webshop --model openai:NAME --base-url http://127.0.0.1:8000/v1
    """
    out, workers, wanted = options.pop("out"), options.pop("workers"), streams(options)
    memory = take(
        options, "n", "discount", "trace_decay", "double", "similarity", "task_weight", "max_experiences",
        "max_actions", "max_bytes", "compat",
    )  # fmt: skip
    named = options["train_tasks"]
    values, world = _common(environment, options)
    if named is None and values["train_tasks"] not in world.task_sets():
        raise UsageError(
            f"there is no set {values['train_tasks']!r} of these tasks to train on: give --train A:B and "
            "--test C:D, ranges that share no task"
        )
    if "compat" in memory:
        values["agent_options"]["compat"] = memory["compat"]
    control = False if options["no_control"] else options["control"]
    if options["guard"] and isinstance(control, bool):
        raise UsageError("--guard needs a share of episodes without memory: give --control 0.2, say")
    initial = options.pop("initial")
    if initial is not None and not initial.is_file():
        raise DataError(f"--initial {initial}: there is no such file")
    memory_url = options.pop("memory_url")
    if memory_url is not None and len(values["seeds"]) > 1 and "{seed}" not in memory_url:
        raise UsageError(
            "--memory: each seed needs a memory of its own: give --seeds 1, or put {seed} into the address, "
            "as in postgresql://HOST/DATABASE?schema=shop_{seed}"
        )
    config = make_config(
        **values,
        **model_config(options),
        memory_url=memory_address(memory_url) if memory_url else None,
        memory_options=memory,
        epochs=options["epochs"],
        batch_size=options["batch_size"],
        learn=options["learn"],
        skip_solved=options["skip_solved"],
        control=control,
        guard=options["guard"],
        initial_memory=str(initial) if initial else "",
    )
    folder = out or _default_folder(config)
    _execute(config, world, folder, open_model(options, folder), workers, wanted)


@click.command(name="eval")
@click.argument("environment")
@click.option(
    "--memory", "memory_file", type=click.Path(path_type=Path), help="Memory file; it is not changed."
)
@click.option("--agent", type=NearChoice(AGENTS), default="rememberer", show_default=True, help="Who plays.")
@click.option("--test", "test_tasks", help="Task set, or range A:B (test).")
@click.option("--seeds", default="1", show_default=True, help="A count, or a list as 0,7.")
@click.option("--out", type=click.Path(path_type=Path), help="Run folder (runs/ENVIRONMENT-HASH).")
@click.option(
    "--initial",
    type=click.Path(path_type=Path),
    help="Exemplars of static, react, rci, chain-of-thought, reflexion.",
)
@click.option("--trials", type=click.IntRange(1), help="Of each task, for reflexion (3).")
@environment_options
@model_options
@agent_options
@click.option("--control/--no-control", default=True, help="Also test without memory, as the control.")
@click.option(
    "--workers", type=click.IntRange(1), help="Threads (1; 8 for endpoints). Never changes results."
)
@stream_options
def evaluate(environment: str, **options: Any) -> None:
    """Test an agent on tasks of ENVIRONMENT; the memory is frozen.

    \b
    Examples:
      rlem eval webshop --memory runs/webshop-1234/memory-0.rlem
      rlem eval webshop --agent random --test 0:50
    """
    out, workers, memory_file = options.pop("out"), options.pop("workers"), options.pop("memory_file")
    agent, initial, wanted = options.pop("agent"), options.pop("initial"), streams(options)
    if agent in MEMORY_AGENTS and memory_file is None:
        raise UsageError(
            "rlem eval needs --memory FILE, or another --agent (llm-only: the model without a memory)"
        )
    trials = options.pop("trials")
    if trials is not None and agent != REFLEXION:
        raise UsageError(f"--trials is for --agent {REFLEXION}: agent {agent!r} tries each task once")
    if memory_file is not None and not memory_file.is_file():
        raise DataError(f"--memory {memory_file}: there is no such file")
    if memory_file is not None:
        with open_file(memory_file):  # one that is no memory is refused before the run folder is made
            pass
    values, world = _common(environment, options)
    needs_model = agent in MODEL_AGENTS
    values |= model_config(options) if needs_model else {"model": agent}
    config = make_config(
        **values,
        agent=agent,
        epochs=(trials or 3) - 1 if agent == REFLEXION else 0,
        control=options["control"],
        initial_memory=str(initial) if initial else "",
        memory_options={"file": _digest(memory_file)} if memory_file else {},
    )
    folder = out or _default_folder(config)
    model = open_model(options, folder) if needs_model else None
    _execute(config, world, folder, model, workers, wanted, memory_file)


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
def report(run: Path) -> None:
    """Make report.html, learning_curve.png and summary.json of a run folder anew; print the table.

    Works on a run that is still going, too. Example: rlem report runs/webshop-1a2b3c4d
    """
    if (run / "cells").is_dir():
        raise UsageError(f"{run} is the folder of an experiment: `rlem reproduce` itself writes its report")
    _report(run, Console())


def _default_folder(config: RunConfig) -> Path:
    from rlem.runner.setup import default_folder

    return default_folder(config)


def _common(environment: str, options: dict[str, Any]) -> tuple[dict[str, Any], Environment]:
    """What training and evaluation share of a config, and the environment it names, opened once."""
    from rlem.runner.setup import default_sets, make_environment

    train, test = default_sets(environment)

    values: dict[str, Any] = {
        "environment": environment,
        "environment_options": environment_config(options, environment),
        "agent_options": agent_config(options),
        "seeds": parse_seeds(options.pop("seeds")),
        "train_tasks": options.pop("train_tasks", None) or train,
        "test_tasks": options.pop("test_tasks") or test,
    }
    limit = options.pop("max_steps")
    world = make_environment(make_config(**values))
    values["max_steps"] = limit or world.max_steps
    return values, world


def _execute(
    config: RunConfig,
    environment: Environment,
    path: Path,
    model: LanguageModel | None,
    workers: int | None,
    wanted: dict[str, Path],
    memory_file: Path | None = None,
) -> None:
    from rlem.cli.progress import LiveObserver
    from rlem.runner.folder import RunFolder
    from rlem.runner.setup import make_agent, make_run, memory_config

    console = Console(stderr=True)
    folder = RunFolder(path, shlex.join(["rlem", *sys.argv[1:]]))
    many = config.model.startswith("openai:") and config.environment != "mobile-env"  # it has one device
    threads = workers or (8 if many else 1)
    tasks = (
        len(environment.tasks(config.train_tasks)) if config.epochs else 0,
        len(environment.tasks(config.test_tasks)),
    )
    if (folder.path / "cells").is_dir():
        raise UsageError(f"{folder.path} is the folder of an experiment: give another --out")
    # Before the folder is made: a mistyped option must not leave a folder that then holds "another run".
    if memory_file is None:
        memory_config(config)
    make_agent(config, environment, model, None)
    if model is not None and config.model == "embedded":
        console.print(
            "model: the embedded reader, a program that reads the prompt; it is not an LLM", style="dim"
        )
    console.print(f"run folder: {folder.path}", style="dim", highlight=False)
    try:
        with (
            folder.alone(),
            LiveObserver(config, tasks, console) as live,
            told(config, wanted, live) as observer,
        ):
            make_run(
                config,
                folder,
                model,
                environment=environment,
                workers=threads,
                observer=observer,
                memory_file=memory_file,
            ).execute()
    except BudgetExceededError as error:
        raise BudgetExceededError(
            f"{error}. The limits are --max-total-tokens and --max-cost-usd: run the same command with a "
            "higher one to go on; finished episodes are kept"
        ) from error
    finally:
        environment.close()
        if model is not None:
            model.close()
    _report(folder.path, Console())


def _report(folder: Path, console: Console) -> None:
    from rlem.reports import print_summary, write_report

    try:
        paths = write_report(folder)
    except OSError as error:
        raise RunError(
            f"the report in {folder} could not be written ({error.strerror or error}): mend that, then run "
            f"`rlem report {folder}`; all episodes are safe"
        ) from error
    console.print()
    print_summary(paths.summary, console)
    console.print()
    for path in (paths.report_html, paths.learning_curve_png, paths.summary_json):
        console.print(str(path), soft_wrap=True, highlight=False)


def _digest(path: Path) -> str:
    """A memory file by its content: evaluating another one is another run."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
