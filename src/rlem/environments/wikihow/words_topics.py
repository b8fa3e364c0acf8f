"""What the articles of the generated site are about: categories with their verbs, things and adjectives.

One block a top category: its name, then its sub-categories as ``Name: verbs; things; adjectives``. Every
verb of a line goes with every thing of that line. A thing with ``~`` has neither article nor plural.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Topic:
    """A sub-category of the vocabulary. All words are lower-case but for the two names."""

    parent: str
    name: str
    verbs: tuple[str, ...]
    things: tuple[str, ...]
    adjectives: tuple[str, ...]


_TABLE = """
Outdoor Life
Camping: pack, repair, choose, dry, share; tent, sleeping bag, camp stove, hammock, ground sheet, lantern; light, old, canvas, family
Hiking: plan, enjoy, film, finish, prepare for; day hike, ridge walk, night walk, coast path, mountain tour; long, steep, rainy, guided
Fishing: clean, test, buy, store, balance; fly rod, reel, landing net, tackle box, float; wooden, cheap, short, salty
Home Care
Household Cleaning: clean, scrub, polish, freshen, disinfect; oven, kitchen sink, carpet, shower screen, window, mattress; greasy, stained, dusty, marble
Furniture: build, paint, move, restore, assemble; bookshelf, dining table, wardrobe, rocking chair, bed frame, desk; oak, heavy, folding, antique
Plumbing: fix, replace, install, test, insulate; tap, water pipe, drain, shower head, boiler, radiator; leaking, frozen, noisy, outdoor
Garden and Yard
Vegetables: grow, plant, harvest, store, water; carrot, tomato, pumpkin, onion, bell pepper, potato; young, early, purple, giant
Flowers: grow, prune, press, water, arrange; rose, tulip, sunflower, orchid, lavender~, geranium; wild, potted, yellow, late
Lawns and Trees: trim, feed, protect, plant, move; hedge, apple tree, lawn, cherry tree, ivy~, maple; tall, sick, bare, shady
Food and Drink
Baking: bake, decorate, glaze, slice, freeze; apple pie, carrot cake, sourdough~, muffin, cheese scone, gingerbread~; vegan, sweet, crisp, plain
Soups and Stews: cook, thicken, season, reheat, serve; pumpkin soup, lentil stew, fish broth, chili~, noodle soup; spicy, mild, cold, creamy
Hot and Cold Drinks: make, chill, serve, sweeten, sell; lemonade~, iced tea~, hot chocolate~, fruit punch~, ginger ale~; fresh, bitter, minty, weak
Crafts
Sewing and Knitting: sew, knit, mend, hem, line; scarf, curtain, cushion cover, mitten, patchwork quilt, apron; striped, woolen, thin, linen
Paper Crafts: fold, cut, design, seal, print; greeting card, envelope, paper crane, gift box, bookmark, lampshade; round, golden, tiny, square
Woodwork: carve, sand, varnish, measure, glue; birdhouse, spoon, picture frame, chess board, toy train, coat rack; pine, rough, curved, cedar
Art and Media
Drawing: draw, shade, sketch, outline, color; horse, dragon, bicycle, castle, human hand, oak leaf; running, simple, realistic, cartoon
Painting: paint, frame, copy, sell, photograph; landscape, portrait, still life, mural, sunset; abstract, dark, framed, modern
Photography: photograph, film, edit, light, crop; waterfall, skyline, bird, night sky~, product, crowd; moving, distant, bright, foggy
Music
Instruments: tune, play, hold, choose, carry; violin, ukulele, harmonica, trumpet, electric guitar, accordion; used, loud, left-handed, vintage
Singing: learn, practice, teach, perform, arrange; folk song, lullaby, duet, high note, round, choir part; slow, cheerful, difficult, sad
Recording: record, mix, publish, plan, improve; podcast, demo tape, voice message, live concert, radio play; short, muffled, weekly, remote
Sports and Fitness
Ball Games: throw, catch, pass, aim, serve; tennis ball, volleyball, curve ball, basketball, frisbee, handball; fast, wet, soft, high
Running and Strength: improve, plan, shorten, track, start; marathon run, push up, interval workout, warm up, sprint, plank; daily, gentle, weak, uphill
Water Sports: steer, rent, launch, turn, repair; kayak, sailing boat, surfboard, canoe, paddle board, raft; narrow, inflatable, flat, borrowed
Health
Sleep: enjoy, plan, shorten, improve, track; nap, bedtime routine, night shift, morning routine, rest~; restless, calm, regular, early
Everyday Aches: treat, prevent, soothe, explain, notice; headache, sore throat, stiff neck, sunburn, blister, backache; sudden, mild, stubborn, dull
Eating Well: plan, cook, pack, track, enjoy; high fiber breakfast, lunch box, salad, meatless dinner, snack, smoothie; filling, quick, light, crunchy
Pets and Animals
Dogs: train, walk, bathe, feed, groom; puppy, sheepdog, terrier, rescue dog, greyhound, poodle; shy, large, energetic, deaf
Cats: calm, brush, feed, photograph, adopt; kitten, house cat, tabby, stray cat, siamese cat; timid, fluffy, hungry, elderly
Small Pets: house, feed, tame, carry, weigh; hamster, guinea pig, rabbit, parakeet, goldfish, tortoise; lively, sleepy, lonely, rare
Family Life
Babies: dress, bathe, entertain, carry, feed; baby, newborn, toddler, twin, triplet; sleepy, fussy, curious, tiny
Celebrations: plan, host, decorate, cancel, film; birthday party, wedding shower, family reunion, picnic, costume party; surprise, outdoor, small, themed
Chores and Rules: explain, divide, discuss, plan, shorten; bedtime, family budget, house rule, cleaning plan, weekly meeting; fair, strict, shared, simple
Getting Along
Friends: invite, thank, forgive, cheer up, visit; friend, pen pal, classmate, roommate, teammate; quiet, busy, jealous, old
Neighbors: greet, help, meet, invite, answer; neighbor, landlord, caretaker, tenant, newcomer; friendly, noisy, elderly, nosy
Conversation: start, end, write, rehearse, improve; small talk~, phone call, toast, apology, speech, debate; polite, awkward, honest, short
Work and Business
Job Hunting: write, prepare, update, check, send; cover letter, resume, job application, portfolio, salary request; strong, online, late, short
Office Life: lead, schedule, survive, record, shorten; team meeting, video call, conference, workshop, status report; weekly, boring, tense, virtual
Small Business: open, name, advertise, sell, insure; food truck, flower shop, repair shop, market stall, book store; local, mobile, seasonal, profitable
Money
Saving: plan, cut, track, explain, review; monthly budget, heating bill, phone bill, savings goal, emergency fund, grocery bill; small, shared, growing, strict
Banking: open, close, check, protect, compare; bank account, credit card, deposit box, joint account, loan; foreign, free, online, second
Taxes: file, correct, check, sort, understand; tax return, receipt, property tax, invoice, pay slip; late, missing, yearly, joint
Study
Homework: write, finish, improve, check, start; book report, math worksheet, history essay, science project, summary; overdue, long, difficult, group
Exams: prepare for, pass, retake, time, survive; driving test, spelling test, oral exam, final exam, entrance exam; hard, written, surprise, practice
Languages: learn, teach, read, translate, practice; spanish poem, latin verb, korean alphabet, sign language~, irish gaelic~; basic, ancient, spoken, formal
Computers
Laptops: clean, update, speed up, lock, sell; laptop, keyboard, hard drive, screen, webcam, graphics card; slow, dusty, broken, external
Phones: unlock, charge, reset, protect, recycle; smartphone, phone screen, tablet, smart watch, headset; cracked, wet, lost, waterproof
Files and Data: rename, share, back up, print, encrypt; spreadsheet, photo album, text file, slide show, database; large, hidden, damaged, shared
Online Life
Mailboxes: sort, export, empty, secure, rename; inbox, mail folder, contact list, newsletter, spam filter; full, shared, private, crowded
Video Sites: upload, caption, trim, download, promote; video, live stream, video channel, playlist, slow motion clip; viral, vertical, silent, blurry
User Accounts: create, delete, recover, rename, verify; user account, password, user name, profile picture, forum post; hacked, strong, anonymous, second
Cars and Bikes
Cars: wash, park, jump start, inspect, rent; car, minivan, pickup truck, camper van, convertible; rusty, electric, manual, hybrid
Bicycles: adjust, lock, fix, oil, replace; bike chain, bike brake, saddle, flat tire, bike light, gear shift; squeaky, loose, bent, tubeless
Scooters: ride, charge, insure, store, register; scooter, moped, electric scooter, cargo bike, unicycle; fast, folding, rented, stolen
Travel
Packing: pack, choose, label, weigh, carry; suitcase, backpack, carry on bag, garment bag, toiletry bag; overfull, sturdy, borrowed, wheeled
Trains and Planes: book, change, enjoy, cancel, survive; night train, long flight, bus ride, ferry trip, window seat; delayed, cheap, crowded, direct
Places to Stay: book, review, rate, find, leave; hotel room, youth hostel, mountain hut, guest house, campsite; haunted, quiet, central, pet friendly
Clothes and Style
Shoes: clean, stretch, waterproof, lace, resole; hiking boot, sneaker, leather shoe, sandal, slipper; suede, tight, muddy, white
Shirts and Coats: iron, fold, dye, wash, button; dress shirt, rain coat, sweater, denim jacket, blouse, silk scarf; wrinkled, faded, wool, cotton
Hats and Bags: shape, wear, clean, pack, crochet; straw hat, beanie, felt hat, tote bag, hand bag, sun hat; floppy, patterned, woven, crushed
Games and Puzzles
Board Games: win, set up, teach, invent, score; chess game, checkers match, word game, dice game, strategy game; cooperative, endless, solo, classic
Card Games: shuffle, deal, hide, mark, sort; card deck, bridge hand, poker hand, trump suit, joker; worn, marked, winning, double
Puzzles: solve, design, frame, explain, time; jigsaw puzzle, crossword, maze, number puzzle, cube puzzle, riddle; hard, giant, wooden, themed
"""  # noqa: E501 - one line a sub-category is easier to read than four


def _read(table: str) -> tuple[Topic, ...]:
    topics: list[Topic] = []
    parent = ""
    for line in table.strip().splitlines():
        name, _, rest = line.partition(": ")
        if not rest:
            parent = name
            continue
        verbs, things, adjectives = (tuple(part.split(", ")) for part in rest.split("; "))
        topics.append(Topic(parent, name, verbs, things, adjectives))
    return tuple(topics)


TOPICS = _read(_TABLE)

SCENES = (
    ("Drawing", "draw", "cat", "box"),
    ("Painting", "paint", "boat", "lighthouse"),
    ("Photography", "photograph", "fox", "hill"),
    ("Sewing and Knitting", "embroider", "bee", "daisy"),
    ("Woodwork", "carve", "owl", "stump"),
    ("Paper Crafts", "fold", "frog", "pond"),
    ("Drawing", "sketch", "tower", "island"),
    ("Painting", "paint", "swan", "lake"),
)
"""Sub-category, verb and two things; a search cannot tell apart what small words make of them."""

COMMON_VERBS = ("choose", "explain", "share")
"""These go with everything, so a search for one finds articles of many categories."""

COMMON_ADJECTIVES = ("simple", "good")

QUALIFIERS = (
    "in winter", "in one day", "in summer", "on a budget", "without help", "without much help", "at home",
    "in ten minutes", "for the first time", "with children", "quickly and safely", "safely", "before a trip",
    "on a rainy day", "after a day of work", "for a friend", "like a professional", "without tools",
    "on your own", "the easy way",
)  # fmt: skip
"""Some share words, as look-alikes do."""

HARD_QUALIFIERS = (
    "(for beginners)", "(with pictures)", "(quick method)", "(without tools)", "(for parents)",
    "(and save money)", "(a checklist)",
    "on mother's day", "in a friend's garden", "with your neighbor's help", "when you don't have time",
    "if you can't find help", "when it doesn't work", "for your sister's birthday",
    "at a café", "for a fête", "for your fiancée", "before a soirée",
)  # fmt: skip
"""With what makes an address or a search hard: parentheses, apostrophes, accents."""
