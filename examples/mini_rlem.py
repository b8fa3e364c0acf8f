"""RLEM in one small file: the whole idea of rlem retold in plain Python. Run it: python examples/mini_rlem.py

Four drink machines. Each takes a drink and then one of four devices, and only one device is right: nothing
on the page says which. A model that reads its prompt must guess. With an experience memory the same model,
unchanged, learns it from reward: what was tried is kept with its value, the most similar experiences stand
in the prompt as encouraged and discouraged actions. The tests use drinks that training never asked for.
"""

import random
from typing import NamedTuple

DEVICES = {"red": "pull the lever", "green": "ring the bell", "blue": "turn the wheel", "grey": "kick it"}
DRINKS = ("mint tea", "black coffee", "orange juice", "apple cider")
EPOCHS, SEEDS, K = 6, 20, 2
DISCOUNT, N = 1.0, None  # n steps before bootstrapping; None: the Monte-Carlo return

# -- the world: two pages and a reward at the end ----------------------------------------------------------


class Situation(NamedTuple):
    """What a decision is taken on, and the key under which experience is kept."""

    task: str
    page: str
    actions: tuple[str, ...]


def situation(machine: str, drink: str, step: int) -> Situation:
    """The page that a task shows at one step."""
    page, actions = [("choose", DRINKS), ("it hums", tuple(DEVICES.values()))][step]
    return Situation(f"get a {drink} from the {machine} machine", f"{machine} machine: {page}", actions)


# -- the memory: an episode log, and values derived from it ------------------------------------------------


class Value:
    """The running mean of all targets of one action: Q <- Q + (G - Q) / N."""

    def __init__(self) -> None:
        self.q, self.visits = 0.0, 0

    def learn(self, target: float) -> None:
        """One more target."""
        self.visits += 1
        self.q += (target - self.q) / self.visits


Step = tuple[Situation, str, float]


class Memory:
    """The log is the truth; ``experiences`` is what replaying it gives."""

    def __init__(self) -> None:
        self.log: list[list[Step]] = []
        self.experiences: dict[Situation, dict[str, Value]] = {}

    def record(self, episode: list[Step]) -> None:
        """Appends an episode and learns it: in step order, each update visible to the next."""
        self.log.append(episode)
        for t, (where, action, _) in enumerate(episode):
            value = self.experiences.setdefault(where, {}).setdefault(action, Value())
            value.learn(self.target(episode, t))

    def target(self, episode: list[Step], t: int) -> float:
        """G = sum of gamma^i r[t+i] over n steps, + gamma^n V(o[t+n]) where the episode goes on."""
        end = len(episode) if N is None else min(t + N, len(episode))
        total = sum(DISCOUNT ** (i - t) * episode[i][2] for i in range(t, end))
        return total + (DISCOUNT ** (end - t) * self.best(episode[end][0]) if end < len(episode) else 0.0)

    def best(self, where: Situation) -> float:
        """V(o): the best recorded action of o, or of the most similar experience."""
        known = self.experiences.get(where) or self.experiences[self.recall(where, 1)[0]]
        return max(value.q for value in known.values())

    def recall(self, query: Situation, k: int) -> list[Situation]:
        """The k most similar experiences: half the task counts, half the page."""
        score = {w: (overlap(query.task, w.task) + overlap(query.page, w.page)) / 2 for w in self.experiences}
        return sorted(score, key=lambda where: (-score[where], where))[:k]


def overlap(first: str, second: str) -> float:
    """Words in common, of all words."""
    a, b = set(first.split()), set(second.split())
    return len(a & b) / len(a | b)


# -- advice: experiences as prompt text --------------------------------------------------------------------


def prompt_text(new: Situation, memory: Memory | None) -> str:
    """Examples with advice, the most similar one last, then the page to decide on."""
    blocks = []
    for rank, where in enumerate(memory.recall(new, K) if memory else [], 1):
        tried = memory.experiences[where] if memory else {}
        best = max(tried, key=lambda action: tried[action].q)
        lines = {a: f"{a} -> {v.q:.1f} (n={v.visits})" for a, v in tried.items()}
        block = [f"Example {rank}:", f"Task: {where.task}", f"Page: {where.page}"]
        block += ["Encouraged:"] + [lines[best]] * (tried[best].q > 0)
        block += ["Discouraged:"] + [lines[a] for a, v in tried.items() if v.q <= 0]
        blocks.append("\n".join(block))
    blocks.reverse()
    listed = "\n".join(f"- {action}" for action in new.actions)
    return "\n\n".join([*blocks, f"New input:\nTask: {new.task}\nPage: {new.page}\nActions:\n{listed}"])


# -- the model: a frozen reader of the prompt's text -------------------------------------------------------


def role(action: str, task: str) -> str:
    """What an action is, in words that carry over: "named in the task", or itself."""
    return "named" if action in task else action


def answer(prompt: str, rng: random.Random) -> str:
    """Chooses an action from the text alone: words shared with the task, what examples say, chance."""
    evidence: dict[str, list[float]] = {}
    task, actions = "", []
    for line in prompt.splitlines():
        if line.startswith("Task: "):
            task = line.removeprefix("Task: ")
        elif line.startswith("- "):
            actions.append(line.removeprefix("- "))
        elif " -> " in line:
            action, _, rest = line.partition(" -> ")
            evidence.setdefault(role(action, task), []).append(float(rest.split()[0]))

    def score(action: str) -> float:
        said = evidence.get(role(action, task), [])
        prior = (0.5 if role(action, task) == "named" else 0.1) + 0.05 * rng.random()
        return (prior + sum(said)) / (1 + len(said))

    return max(actions, key=score)


# -- playing, training, testing ----------------------------------------------------------------------------


def play(machine: str, drink: str, memory: Memory | None, rng: random.Random) -> list[Step]:
    """One episode; reward 1 for the right drink out of the right machine."""
    first, last = situation(machine, drink, 0), situation(machine, drink, 1)
    chosen = answer(prompt_text(first, memory), rng)
    device = answer(prompt_text(last, memory), rng)
    return [(first, chosen, 0.0), (last, device, float(chosen == drink and device == DEVICES[machine]))]


def success(memory: Memory | None, rng: random.Random) -> float:
    """Share of the held-out tasks that are solved; the memory is only read."""
    tasks = [(machine, drink) for machine in DEVICES for drink in DRINKS[2:]]
    return sum(play(*task, memory, rng)[-1][2] for task in tasks) / len(tasks)


def curve(seed: int, use_memory: bool) -> list[float]:
    """Success on the held-out tasks before training and after each epoch."""
    rng, memory = random.Random(seed), Memory()
    given = memory if use_memory else None
    points = [success(given, rng)]
    for epoch in range(EPOCHS):
        for machine in DEVICES:
            memory.record(play(machine, DRINKS[epoch % 2], given, rng))
        points.append(success(given, rng))
    return points


def main() -> None:
    """Trains both arms over several seeds and prints the mean success after each epoch."""
    print(f"success on {2 * len(DEVICES)} held-out tasks, mean of {SEEDS} seeds")
    print("epoch     " + "".join(f"{epoch:6d}" for epoch in range(EPOCHS + 1)))
    for name, use_memory in (("memory", True), ("no memory", False)):
        curves = [curve(seed, use_memory) for seed in range(SEEDS)]
        print(f"{name:10}" + "".join(f"{sum(points) / SEEDS:6.2f}" for points in zip(*curves, strict=True)))


if __name__ == "__main__":
    main()
