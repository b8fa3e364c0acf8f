"""Who writes on the generated site: names, credentials with jobs, lives."""

from __future__ import annotations

FIRST_NAMES = (
    "Ada", "Amos", "Anaïs", "Bela", "Bruno", "Carmen", "Clara", "Dario", "Edith", "Elio", "Farid", "Freya",
    "Gideon", "Greta", "Hanna", "Hugo", "Ines", "Ivo", "Jonas", "Josefa", "Kaya", "Kofi", "Lena", "Luca",
    "Mabel", "Milo", "Nadia", "Noor", "Olga", "Otis", "Petra", "Quentin", "René", "Rosa", "Samir", "Selma",
    "Tilda", "Tomas", "Ursula", "Viktor", "Wanda", "Yara", "Zeno", "Zoé",
)  # fmt: skip

LAST_NAMES = (
    "Abney", "Aldersey", "Barlow", "Birkwood", "Calder", "Castellan", "Danforth", "Dunmore", "Eastwick",
    "Ellery", "Fairholm", "Ferrant", "Garrow", "Glenwright", "Hallam", "Hollis", "Ibarra", "Ingleby",
    "Jessop", "Kestrel", "Kinnaird", "Lathom", "Lindqvist", "Marchbank", "Merriweather", "Nakagawa",
    "Nordheim", "O'Carrick", "Okonda", "Pemberly", "Pinheiro", "Quarles", "Ravenhill", "Rosendal",
    "Saltmarsh", "Stroud", "Tavener", "Thackery", "Underhill", "Vasquez-Lund", "Wetherby", "Winterbourne",
    "Yardley", "Zeller",
)  # fmt: skip

CREDENTIALS = (
    ("", "Writer and Handyman"), ("", "Hobby Teacher"), ("", "Home Economist"), ("", "Travel Guide"),
    ("", "Workshop Owner"), ("", "Craft Blogger"), ("RN", "Registered Nurse"), ("MD", "Family Doctor"),
    ("PhD", "Researcher and Lecturer"), ("MA", "School Counselor"), ("MBA", "Business Adviser"),
    ("CPA", "Certified Accountant"), ("MS, RD", "Dietitian"), ("DVM", "Veterinarian"),
    ("JD", "Lawyer and Mediator"), ("MFA", "Studio Artist"), ("BSc, MEng", "Mechanical Engineer"),
    ("LCSW", "Family Therapist"),
)  # fmt: skip

BIOS = (
    "{name} is a {job} in {place}. With more than {years} years of experience, {first} shows people how to "
    "learn by doing. {first} also teaches evening classes and answers letters of readers.",
    "{name} works as a {job}. {first} has spent {years} years on finding out what goes wrong at the first "
    "try, and why. The results fill notebooks, two small books and a weekly column.",
    "{name} is a {job} and lives in {place}. After {years} years in the trade {first} gives advice that is "
    "tested on friends first.",
)

PLACES = (
    "Port Alder", "Lindenbrook", "Saint Orrin", "Castle Mere", "Novaholm", "Greywater", "East Tamsin",
    "Bellavue",
)  # fmt: skip

ROLES = ("Community Answer", "Top Answerer", "Expert Answer")
"""What stands below the name of somebody who answered a reader."""
