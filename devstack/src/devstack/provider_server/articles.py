"""The articles, which are also all the pages that the search engines know."""

from __future__ import annotations

import re
from dataclasses import dataclass

from devstack.model_server.words import stem, words

SOURCE = "This text belongs to Dormouse's development provider server; it is not from Wikipedia."


@dataclass(frozen=True, slots=True)
class Article:
    """One page. sections: (heading, text); the introduction has none. choices: titles that a page of choices lists."""

    title: str
    description: str
    intro: str
    sections: tuple[tuple[str, str], ...] = ()
    choices: tuple[str, ...] = ()
    language: str = "en"

    @property
    def slug(self) -> str:
        """The title as it stands in URLs."""
        return self.title.replace(" ", "_")

    @property
    def text(self) -> str:
        """All of it, as TextExtracts gives it with wiki headings."""
        parts = [self.intro, *(f"\n== {heading} ==\n{text}" for heading, text in self.sections), f"\n{SOURCE}"]
        return "\n".join(parts)


ARTICLES = (
    Article(
        "Ada Lovelace",
        "English mathematician (1815-1852)",
        "Ada Lovelace (10 December 1815 - 27 November 1852) was an English mathematician. She is known for her notes "
        "on Charles Babbage's Analytical Engine, which hold what is often called the first computer program.",
        (
            ("Life", "She was the daughter of the poet Lord Byron and of Anne Isabella Milbanke, who had her taught "
             "mathematics. She met Babbage in 1833 and married William King in 1835."),
            ("Notes on the Engine", "In 1843 she translated Luigi Menabrea's article on the Analytical Engine and "
             "added notes three times as long. Note G shows how the engine would compute Bernoulli numbers."),
        ),
    ),
    Article(
        "Charles Babbage",
        "English inventor (1791-1871)",
        "Charles Babbage (26 December 1791 - 18 October 1871) was an English mathematician and inventor. He designed "
        "the Difference Engine and the Analytical Engine, mechanical machines for calculation.",
    ),
    Article(
        "Analytical Engine",
        "Mechanical computer designed by Charles Babbage",
        "The Analytical Engine was a mechanical general-purpose computer that Charles Babbage described in 1837. It "
        "had a mill for arithmetic, a store for 1,000 numbers, and was to be programmed with punched cards. It was "
        "never finished.",
    ),
    Article(
        "Alan Turing",
        "English computer scientist (1912-1954)",
        "Alan Turing (23 June 1912 - 7 June 1954) was an English mathematician and computer scientist. In 1936 he "
        "described the Turing machine, a model of computation. In the Second World War he worked on German ciphers at "
        "Bletchley Park.",
    ),
    Article(
        "Dormouse",
        "Family of rodents",
        "Dormice are rodents of the family Gliridae. They live in Europe, Africa and Asia. Many species hibernate for "
        "six months of the year or longer and wake only when it is warm enough.",
        (
            ("Hibernation", "Before winter a dormouse can double its weight. While it sleeps its body is hardly warmer "
             "than the air, and its heart beats a few times a minute."),
            ("Food", "Dormice eat fruit, nuts, flowers and insects."),
        ),
    ),
    Article(
        "Mercury",
        "Topics called Mercury",
        "Mercury most commonly refers to:\nMercury (planet), the closest planet to the Sun\n"
        "Mercury (element), a chemical element with symbol Hg\nMercury (mythology), a god of ancient Rome",
        choices=("Mercury (element)", "Mercury (mythology)", "Mercury (planet)"),
    ),
    Article(
        "Mercury (planet)",
        "First planet from the Sun",
        "Mercury is the first planet from the Sun and the smallest in the Solar System. It goes round the Sun in 88 "
        "days. Its diameter is 4,879 kilometres.",
    ),
    Article(
        "Mercury (element)",
        "Chemical element with atomic number 80",
        "Mercury is a chemical element with the symbol Hg and the atomic number 80. It is the only metal that is "
        "liquid at room temperature; it freezes at -38.8 °C and boils at 356.7 °C.",
    ),
    Article(
        "Mercury (mythology)",
        "Roman god",
        "Mercury is the Roman god of trade, messages and travellers. His Greek counterpart is Hermes.",
    ),
    Article(
        "Berlin",
        "Capital of Germany",
        "Berlin is the capital and the largest city of Germany, with about 3.8 million inhabitants. It lies on the "
        "river Spree.",
    ),
    Article(
        "Paris",
        "Capital of France",
        "Paris is the capital and the largest city of France, with about 2.1 million inhabitants. It lies on the river "
        "Seine. Its landmarks include the Eiffel Tower and the Louvre.",
    ),
    Article(
        "Eiffel Tower",
        "Tower in Paris",
        "The Eiffel Tower is an iron lattice tower in Paris. It was built from 1887 to 1889 by the company of Gustave "
        "Eiffel and is 330 metres tall.",
    ),
    Article(
        "Mount Everest",
        "Highest mountain on Earth",
        "Mount Everest is the highest mountain above sea level on Earth, 8,849 metres tall. It stands in the Himalayas "
        "on the border of Nepal and China. Edmund Hillary and Tenzing Norgay first climbed it on 29 May 1953.",
    ),
    Article(
        "Photosynthesis",
        "How plants make food from light",
        "Photosynthesis is the process by which plants, algae and some bacteria turn light into chemical energy. From "
        "carbon dioxide and water they make sugar and release oxygen.",
    ),
    Article(
        "Python (programming language)",
        "Programming language",
        "Python is a programming language that Guido van Rossum first published in 1991. It marks blocks of code by "
        "indentation.",
    ),
    Article(
        "Apollo 11",
        "First crewed landing on the Moon (1969)",
        "Apollo 11 was the spaceflight that first landed people on the Moon. Neil Armstrong and Buzz Aldrin landed on "
        "20 July 1969 while Michael Collins stayed in orbit.",
    ),
    Article(
        "Haselmaus",
        "Art der Familie der Bilche",
        "Die Haselmaus ist ein Nagetier aus der Familie der Bilche. Sie lebt in Europa und hält von Oktober bis April "
        "Winterschlaf.",
        language="de",
    ),
)  # fmt: skip
REDIRECTS = {
    "Ada King": "Ada Lovelace",
    "Countess of Lovelace": "Ada Lovelace",
    "Dormice": "Dormouse",
    "Everest": "Mount Everest",
    "Moon landing": "Apollo 11",
    "Quicksilver": "Mercury (element)",
}

_TITLES = {(article.language, article.title): article for article in ARTICLES}


def find(title: str, language: str = "en") -> Article | None:
    """The article of just this title."""
    return _TITLES.get((language, title))


def search(text: str, language: str = "en") -> list[tuple[float, Article]]:
    """Articles that share words with the text, the best first, each with a score from 0 to 1."""
    wanted = {stem(word) for word in words(text)} - _COMMON
    if not wanted:
        return []
    scored = []
    for number, article in enumerate(ARTICLES):
        if article.language == language and not article.choices:
            title = {stem(word) for word in words(article.title)}
            body = {stem(word) for word in words(article.text)}
            score = (2 * len(wanted & title) + len(wanted & body)) / (3 * len(wanted))
            if score:
                scored.append((score, number, article))
    return [(round(score, 4), article) for score, _, article in sorted(scored, key=lambda found: (-found[0], found[1]))]


def passage(article: Article, text: str) -> str:
    """The article's sentences that share most words with the text, at most two."""
    wanted = {stem(word) for word in words(text)} - _COMMON
    sentences = re.split(r"(?<=[.:]) ", " ".join([article.intro, *(text for _, text in article.sections)]))
    best = sorted(sentences, key=lambda sentence: -len(wanted & {stem(word) for word in words(sentence)}))[:2]
    return " ".join(sentence for sentence in sentences if sentence in best)


_COMMON = {
    stem(word)
    for word in words(
        "a an and are about by did do does for from had has have how in is it its me of on or please tell that the "
        "this to was were what when where which who why will with"
    )
}
