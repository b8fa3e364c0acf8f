"""What the articles of the generated site say: sentences of ``{do}`` ("fix a tent"), ``{it}`` ("the tent").

All are our own. They need not be wise, only read like the advice of a how-to site.
"""

from __future__ import annotations

INTROS = (
    "There is more than one way to {do}, and none of them is hard.",
    "If you would like to {do}, a little planning goes a long way.",
    "Many people give up too early when they try to {do}.",
    "To {do} you need patience, a free hour and a clear plan.",
    "You may never have thought about {it} before, and that is fine.",
    "Take your time, read everything once, and only then begin.",
    "Good preparation is half of the work.",
    "This guide shows what helps and what does not.",
)

SUBTITLES = (
    "A simple guide in a few clear steps",
    "What to do, what to leave, and how to look after {it}",
    "Everything you need to know before you start",
    "Our readers' favorite ways to {do}",
)

LINKED = (
    ("Before you go on, it helps to know how to ", "."),
    ("If this does not work, you could also ", " instead."),
    ("People who do this often also learn how to ", ", which uses the same skills."),
    ("See how to ", " for a related idea."),
)
"""What stands before and after a link to another article."""

METHOD_NAMES = (
    "Getting Ready", "Doing It by Hand", "Using Simple Tools", "Working with a Partner", "Finishing Up",
    "Avoiding Mistakes", "Trying a Quicker Way", "Checking the Result", "Planning Ahead",
    "Keeping It in Good Shape", "Making It Your Own", "Solving Common Problems",
)  # fmt: skip

LEADS = (
    "Gather everything that you need.", "Choose a good place to begin.", "Look at {it} closely.",
    "Set aside enough time.", "Ask somebody who has done it before.", "Make a short list.",
    "Start with the smallest part.", "Work slowly and evenly.", "Stop and check what you have done.",
    "Remove whatever is in the way.", "Measure twice.", "Repeat this until you are content.",
    "Put {it} aside for a while.", "Keep a written record.", "Compare {it} with a picture.",
    "Clear the table.", "Decide how far you want to go.", "Test the result.", "Protect {it} from damage.",
    "Tidy up when you have finished.", "Take a picture of {it}.", "Adjust your plan if necessary.",
    "Give yourself a break.", "Show {it} to a friend.",
)  # fmt: skip

SENTENCES = (
    "It is easier to {do} when nothing else asks for your attention.",
    "Lay {it} in front of you, so that you can see every side.",
    "A quiet corner with daylight is best.",
    "Most people need about twenty minutes for this part.",
    "If you are not sure, begin with a corner where nobody will notice a mistake.",
    "You do not have to {do} all at once.",
    "Write down what you changed, so that you can go back.",
    "Leave {it} alone overnight if you have the time.",
    "An old towel below keeps the surface clean.",
    "Do not rush, since small errors add up quickly.",
    "A second pair of hands makes it much simpler.",
    "It may feel strange at first, yet it soon becomes a habit.",
    "Check each side in turn before you decide.",
    "Cheap materials are good enough for the first try.",
    "Read the label or the manual that came with {it}.",
    "If something resists, stop and find out why.",
    "Many readers skip this, and many of them regret it later.",
    "There is no need for special equipment.",
    "The result does not have to be perfect.",
    "Come back to this point whenever you feel lost.",
    "Keep children and pets at a distance while you work.",
    "You will notice the difference after a few days.",
)

BULLETS = (
    "For example, you could use what you already have at home.",
    "Try this on a small part of {it} first.",
    "Alternatively, borrow what you need from a neighbor.",
    "If you have done this before, you can leave this out.",
    "Do not use force.",
    "A pencil and a piece of string are often enough.",
    "Wear old clothes for this.",
    "Open a window if it gets too warm.",
)

QUESTIONS = (
    ("How long does it take to {do}?", "Plan for an hour or two, and for half of that the second time."),
    (
        "Can I {do} without any experience?",
        "Yes. Go slowly, follow the steps in order, and ask for help early.",
    ),
    ("What do I do if {it} breaks?", "Stop, keep all the parts, and look for a repair shop close to you."),
    ("Is it expensive to {do}?", "Not at all. Most of what you need is already in your home."),
    ("How often do I need to repeat this?", "Once a season is enough for most people."),
    ("Which part is the hardest?", "The first one. Once you have begun, the rest follows by itself."),
    ("Does this work for {it} of any size?", "It does, only the time that you need changes."),
)

SITES = (
    "home-almanac", "practical-reader", "the-patient-hand", "city-library", "craft-society", "field-notes",
    "open-college", "daily-workshop",
)  # fmt: skip
"""Hosts below example.org that the references name."""

REFERENCE_PAGES = (
    "guide",
    "basics",
    "common-mistakes",
    "checklist",
    "history",
    "questions",
    "safety",
    "tools",
)

DESCRIPTIONS = (
    (
        "All that our readers asked about {name} stands in the {name} part of this site. "
        "Read up on subjects such as ",
        ", and others like them, in guides that take you from the first try to the finer points.",
    ),
    (
        "Whether you are new to {name} or not, there is something for you to find here. "
        "Begin with questions such as ",
        ", or go on with one of the many guides below, each told in small steps with pictures.",
    ),
    (
        "Our guides to {name} explain one thing at a time, with pictures and in plain words. "
        "They answer questions such as ",
        ", and many more that come up sooner or later if this is what you care for.",
    ),
)
"""What stands before and after the articles that the description of a category names."""

TOP_DESCRIPTIONS = (
    ("The pages on {name} show you how to ", ", and a good deal more."),
    ("{name} in plain words: here you learn to ", ", and whatever else there is to it."),
)
"""The same for a category of the top level."""
