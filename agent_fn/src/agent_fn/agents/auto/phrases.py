r"""What people write when they want something looked up, worked out, written or explained.

Patterns read whole words and ignore case. Each is bounded, so that no text of a few thousand characters takes long.
"""

import re
from typing import Final


def _phrases(lines: str) -> re.Pattern[str]:
    alternatives = "|".join(line.strip() for line in lines.strip().splitlines())
    return re.compile(rf"\b(?:{alternatives})\b", re.IGNORECASE)


GREETING: Final = re.compile(
    r"^\W{0,3}(?:hi|hello|hey|good (?:morning|day|evening)|thanks|thank you|bye|ok(?:ay)?|great|cool|nice)\b"
    r"[^?]{0,40}$",
    re.IGNORECASE,
)
SELF: Final = _phrases(r"""
    who are you
    what are you
    what can you do
    your name
    are you (?:an? |the )?\w+
""")
WRITING: Final = _phrases(r"""
    (?:write|compose|draft|make up|invent) (?:me |us )?(?:an? |the |some |another )?(?:[\w-]{1,20} ){0,3}(?:poem|story|haiku|limerick|song|essay|e-?mail|letter|joke|slogan|toast|speech|function|class|program|script|regex|tagline|paragraph|verse|query|names?)
    tell me (?:a|another) (?:[\w-]{1,20} )?(?:joke|story|riddle)
    brainstorm
    role-?play
""")  # noqa: E501 - one alternative, one line
REWORDING: Final = _phrases(r"""
    translate
    rephrase
    reword
    rewrite
    proof-?read
    correct (?:the|my|this)
    shorten
    summari[sz]e (?:this|the (?:above|following|text|conversation)|what)
    what does .{1,40} mean
    fix (?:the|my|this) (?:grammar|spelling|english|sentence)
    how do you say
    synonyms?
""")
EXPLAINING: Final = _phrases(r"""
    explain
    tell me about
    why (?:is|are|do|does|did|can|was|were|would)
    what(?:'s| is) the (?:difference|meaning|idea|point)
    how (?:do|does|did) (?:an? |the )?[\w-]{1,20} (?:work|differ|live|sleep|come|feel)
    describe
    what do you think
    give me (?:advice|tips|ideas|an example)
    should i
    review (?:this|my|the following) (?:code|function|text)
""")
LOOKING_UP: Final = _phrases(r"""
    search(?: for| the)?
    look(?:ing)? up
    google
    find (?:out|me|the|all|an?)
    fetch
    download
    open (?:the )?(?:page|url|link|site)
    check (?:the|if|whether|how|what)
    on (?:the )?(?:web|internet|wikipedia)
    in (?:the|our) (?:database|documents|docs|wiki|files|knowledge base|table)
    according to (?:wikipedia|our|the docs)
    query
""")
CURRENT: Final = _phrases(r"""
    today
    tonight
    tomorrow
    yesterday
    right now
    (?:this|next|last) (?:week|month|weekend|year|monday|tuesday|wednesday|thursday|friday|saturday|sunday)
    current(?:ly)?
    latest
    newest
    recent(?:ly)?
    at the moment
    news
    as of
""")
LIVE: Final = _phrases(r"""
    weather
    forecast
    temperature (?:in|at|outside)
    exchange rate
    stock price
    score of
    price of
    how (?:hot|cold|warm) is it
    will it rain
    population of
    who won
""")
COMPUTING: Final = _phrases(r"""
    calculate
    compute
    solve
    integrate
    differentiate
    derivative of
    integral of
    convert \S{1,20} .{0,30}\b(?:to|into)
    square root
    percent of
    how much is
    what(?:'s| is) \d[\d.,]{0,20} ?(?:%|percent|times|plus|minus|divided)
    factor(?:i[sz]e)? \S{0,20}\d
    average of
    mean of
    median of
    standard deviation
    sum of
    how many (?:days|hours|minutes|seconds|weeks)
""")
ARITHMETIC: Final = re.compile(r"\d\s{0,3}(?:[-+*/^\u00d7\u00f7]|\*\*)\s{0,3}\(?\d|\d\s{0,3}%\s{1,3}of\b")
RUNNING: Final = _phrases(r"""
    run (?:this|the|it|my|some|a)
    execute
    send (?:an?|the|this|it)
    post (?:this|it|the|an?) .{0,40}\bto
    book (?:an?|the|me)
    create (?:an?|the) (?:ticket|issue|order|user|record|event)
    schedule
    delete (?:the|my|all)
    list (?:the|my|all|our) (?:files|tables|users|orders|items|tickets)
""")
URL: Final = re.compile(r"https?://\S")
EMAIL: Final = re.compile(r"\b[\w.+-]{1,64}@[\w-]{1,64}\.\w")
SEQUENCE: Final = re.compile(
    r"[,;.]\s{0,3}(?:and )?(?:then|after that|afterwards|next|finally)\b|\bfirst\b.{3,200}\bthen\b|\band then\b"
    r"|\bonce you have\b|\bbased on (?:that|those|these|the results?|what you find)\b"
    r"|\buse (?:that|those|the results?) to\b|\bstep by step\b",
    re.IGNORECASE | re.DOTALL,
)
RESEARCH: Final = _phrases(r"""
    research
    investigate
    compare .{2,80} (?:and|with|to|against|versus|vs\.?)
    (?:write|prepare|make|give me|create|put together|compile) (?:me )?an? (?:[\w-]{1,20} ){0,3}(?:report|overview|comparison|analysis|briefing)
    (?:write|prepare|make|give me|create) (?:me )?an? (?:[\w-]{1,20} ){0,3}summary of (?:the )?(?:latest|current|recent)
    plan (?:an?|the|my|our) (?:[\w-]{1,20} ){0,3}(?:trip|journey|itinerary|holiday|vacation|weekend|visit|tour)
    for each (?:of|one|city|country|item|user)
    each of (?:them|these|those)
    in[- ]depth
    thorough(?:ly)?
    cross-?check
    several sources
""")  # noqa: E501 - one alternative, one line
LIST_LINE: Final = re.compile(r"^[ \t]{0,8}(?:\d{1,2}[.)]|[-*\u2022])[ \t]+\S", re.MULTILINE)
CODE: Final = re.compile(r"```|^[ ]{4}[ ]*\S|\bdef \w+\(|\bfunction \w+\(|#include\b|\bclass \w+[:({]", re.MULTILINE)
FOLLOW_UP: Final = re.compile(r"^\W{0,3}(?:and|what about|how about|same for|now|also|but)\b", re.IGNORECASE)
