"""The words by which the guardrails know a text that nobody should send, each list with its reason.

Data, and nothing else: whoever finds a text that should have been caught adds its words here and the text to the catalogue of the tests. The
words of a list are regular expressions without regard to case, between word boundaries, unless they say otherwise.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property


def each(text: str) -> tuple[str, ...]:
    """The words of a line."""
    return tuple(text.split())


@dataclass(frozen=True)
class Words:
    """A list of words.

    Attributes:
        why: the reason for the list, as a person who is told of a hit reads it.
        words: regular expressions.
        is_bounded: whether they begin and end with a word.
        is_cased: whether capitals count.
    """

    why: str
    words: tuple[str, ...]
    is_bounded: bool = True
    is_cased: bool = False

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        joined = "|".join(self.words)
        return re.compile(
            rf"(?<!\w)(?:{joined})(?!\w)" if self.is_bounded else joined, 0 if self.is_cased else re.IGNORECASE
        )


# How long a talk is proposed to take, and how many things a text goes on to say, claim nothing about the customer: they need no fact.
MEETING_LENGTH = (
    r"\b(?:\d{1,2}|ten|fifteen|twenty|thirty|forty-five|half(?:[ -]an?)?|one|an)[ -](?:minutes?|mins?|hours?)\b"
    r"(?=[ -](?:\w+\s){0,2}(?:calls?|meetings?|talks?|conversations?|chats?|sessions?|demos?|walk-?throughs?|reviews?|slots?|together|next|this|of your time|with|on the phone|to))"
)

OWN_ITEMS = (
    r"\b(?:[1-5]|one|two|three|four|five)(?: (?:or|to) (?:[1-5]|two|three|four|five))?"
    r" (?:\w+ )?(?:things|examples|dates|options|questions|ideas|steps|topics|slots|reasons|areas|angles|messages)\b"
)

# Taken out of a sentence without a trace: the sentence says the same and does not press.
URGENT_ADVERBS = Words(
    "presses, and the propensity is too low for that",
    (
        r"immediately",
        r"right away",
        r"right now",
        r"urgently",
        r"asap",
        r"a\.s\.a\.p\.",
        r"as soon as possible",
        r"without (?:any )?(?:further )?delay",
        r"at once",
        r"straight ?away",
        r"as a matter of urgency",
        r"instantly",
        r"by (?:the )?(?:close of business|end of (?:the )?day|cob|eod)(?: today)?",
    ),
)
# The sentence, or the part of it that stands between commas, goes: without these words it says nothing.
URGENT_CLAUSES = Words(
    "presses, and the propensity is too low for that",
    (
        r"act (?:now|fast|today|quickly)",
        r"last chance",
        r"final (?:chance|notice|call|reminder)",
        r"(?:before|until) (?:it(?:'|’)?s|it is|it gets|it becomes) too late",
        r"today only",
        r"only today",
        r"limited[ -]time",
        r"for a short time only",
        r"time is running out",
        r"running out of time",
        r"the clock is ticking",
        r"(?:don(?:'|’)t|do not|never) (?:miss|wait|delay|hesitate)(?: out)?",
        r"while (?:it|stocks?|supplies) lasts?",
        r"hurry(?: up)?",
        r"urgent(?:ly)?",
        r"urgency",
        r"once[ -]in[ -]a[ -]lifetime",
        r"now or never",
        r"time[ -]sensitive",
        r"no time to (?:lose|waste)",
        r"window (?:is|will be) clos(?:ing|ed)",
        r"strike while the iron is hot",
        r"must (?:act|decide|sign|upgrade) (?:now|today|this week)",
        r"every day (?:you|they) wait",
    ),
)

# A customer is not told how they are scored, nor in which words.
JARGON = Words(
    "is a word of the models, which no customer is to read",
    (
        r"shap(?:ley)?",
        r"log[ -]?odds",
        r"propensit(?:y|ies)",
        r"probabilit(?:y|ies)",
        r"likelihood",
        r"(?:our|the|a|an|predictive|scoring|risk|churn|machine[ -]learning|ml|ai|statistical) models?",
        r"(?:risk|health|expansion|lead|churn|account|engagement|readiness|propensity)[ -]scor(?:e|es|ed|ing)",
        r"scor(?:ed|ing) (?:you|your|high|low)",
        r"you(?:r \w+)? scored?",
        r"predict(?:s|ed|ion|ions|ive)?",
        r"forecast(?:s|ed)? (?:that )?you",
        r"algorithms?",
        r"machine[ -]learning",
        r"xgboost|logistic regression|calibrat\w+|classifier",
        r"feature importance|contributions?|drivers?|percentiles?",
        r"segment(?:ed|ation)?",
        r"risk[ -]tiers?",
        r"candidates?",
        r"readiness|ready[ -]to[ -]grow",
        r"upsell\w*|cross-?sell\w*|expansion",
        r"playbook|prospects?|commissions?|sales (?:opportunit(?:y|ies)|targets?|quotas?)",
        r"likely to (?:buy|upgrade|grow|purchase|move)",
        r"data ?set|training data",
        r"(?:you|your \w+) (?:were|was|are|is|have been|has been) (?:flagged|picked|selected|chosen|identified|marked|qualified)",
        r"(?:ai|system|software) (?:picked|chose|selected|found|thinks)",
        r"our (?:data|analytics|analysis|system|records?) (?:show|say|suggest|indicate|tell|flag)\w*",
    ),
)
# What is known of a customer for our own use: a customer who reads that they may leave, or what they are worth, is offended with reason.
INSIDE = Words(
    "is for our own use and not for the customer",
    (
        r"churn\w*",
        r"(?:risk|danger) of (?:leaving|losing|cancell?ing|not renewing)",
        r"at[ -]risk",
        r"(?:you|your team|your company)(?:'re|’re| are| is)? (?:may|might|could|will|likely to|about to|going to|thinking of|considering)?\s?(?:leav(?:e|ing)|cancel\w*|quit\w*|not renew\w*)",
        r"(?:leave|leaving) us",
        r"los(?:e|ing) you(?:r business)?",
        r"retention",
        r"revenue at risk|annual revenue|arr|mrr|uplift|deal size|quota|pipeline",
        r"high[ -]value (?:target|account|customer)",
        r"(?:hold[ -]?out|control group|call list|account tier)",
        r"vendor risk flags?|compliance gaps?",
        r"usage (?:fell|dropped|declined|decreased|is down|has fallen|has dropped|has declined)",
        r"success manager(?:'s|’s)? notes?",
        r"internal(?:ly)?",
    ),
)

# A metric that somebody could have measured: it is believed at once, and here nobody has.
METRIC_ENDINGS = (
    "score", "scores", "index", "rate", "rates", "ratio", "quotient", "kpi", "kpis", "metric", "metrics", "benchmark", "percentile",
    "streak", "velocity", "stickiness", "utilisation", "utilization", "sentiment", "throughput", "latency", "uptime", "bandwidth",
)  # fmt: skip
METRICS = Words(
    "is a measure that no fact has",
    (
        r"nps|csat|ces|dau|wau|mau|arpu|arpa|ltv|clv|cac|nrr|grr|ndr|ttv|roi|kpis?|okrs?|sla|slas|mttr|fcr|cltv|aov|ctr|wallet share|share of wallet",
        r"seats?|licen[cs]es?|active users?|log-?ins?|page ?views?|sessions? per|headcount|storage|api calls?|dashboards?|webhooks?|integrations? marketplace|sso|single sign[ -]on",
        r"most of (?:their|your|the)|(?:the )?majority|every day|daily|(?:all|none) of (?:their|your)|employees|staff|workforce|colleagues",
        r"net promoter|health check score|customer effort|time to value|product qualified",
    ),
)

# Nobody here may promise what it costs.
OFFERS = Words(
    "offers what nobody has decided: a price, a discount or terms",
    (
        r"discount\w*",
        r"(?:\d+|\w+) ?(?:%|percent|per cent) off",
        r"free (?:of charge|months?|weeks?|trial|upgrade|seats?|licen[cs]es?|onboarding|training|migration|access|for)",
        r"(?:months?|weeks?|year) (?:for )?free",
        r"at no (?:extra |additional )?(?:cost|charge)",
        r"no extra cost|free of charge|complimentary|on the house|on us",
        r"vouchers?|coupons?|promo(?:tion(?:al)?)?(?: code)?s?|rebates?|cash ?back|gift cards?|credits? (?:worth|of|towards)",
        r"special (?:price|pricing|offer|deal|rate|terms)",
        r"(?:reduced|lower|preferential|introductory|loyalty|exclusive|bundle) (?:price|pricing|rate|offer|deal)s?",
        r"pric(?:e|es|ing) (?:of|is|are|at|starts?|lock|match|freeze|guarantee)",
        r"costs? (?:only|just|less|you)",
        r"waiv(?:e|ed|ing)",
        r"half[ -]price|price cut",
        r"lock(?:ed)? in (?:your|the|a|this)",
        r"(?:multi|two|three|one)[ -]?year (?:contract|term|deal|agreement|commitment)",
        r"(?:cancel|refund|terminate)\w*(?: \w+){0,4} (?:at )?any ?time",
        r"money[ -]back|refund\w*",
        r"net[ -]?(?:30|60|90)|payment terms",
        r"auto(?:matic(?:ally)?)?[ -]?renew\w*",
        r"sav(?:e|es|ing|ings) (?:money|you|them|up to|on)|and save|savings?",
        r"notice period|penalt(?:y|ies)|early termination",
        r"pilot (?:for )?free",
        r"trial extension|extended trial|(?:offer|give|grant)\w* (?:(?:them|you) )?an? trial",
        r"cheap(?:er|est)?|(?:better|good|best|great) (?:price|deal|rate)s?|for free|(?:offer|deal|price) (?:ends|expires)",
    ),
)
PROMISES = Words(
    "promises what nobody can keep",
    (
        r"guarantee[sd]?|guaranteeing",
        r"(?:we|i) promise|promis(?:es|ed|ing)",
        r"100 ?%|one hundred per ?cent",
        r"risk[ -]free|no risk|zero risk|cannot fail|can(?:'|’)t fail|never fails?",
        r"(?:you|they) will (?:definitely|certainly|surely|save|double|never|see results|pass)",
        r"we will (?:build|ship|deliver|release|add|fix|credit|refund|pay|cover|match|double)",
        r"will (?:double|triple|halve|pay for itself)",
        r"pays? for itself|return on investment",
        r"without (?:any )?(?:doubt|fail)",
        r"risk[^.;]{0,40} is (?:negligible|nil|zero|minimal|extreme|huge)",
        r"on (?:the|our) roadmap|roadmap|coming soon|next release|upcoming (?:release|feature)",
        r"24/7|round the clock|dedicated (?:engineer|support|team|manager)",
        r"unlimited",
    ),
)
LEGAL = Words(
    "makes a claim about law or certification that no fact has",
    (
        r"gdpr|hipaa|soc ?[12]|iso ?\d{4,5}|pci(?:[ -]dss)?|dora|nis ?2|sox|fedramp|ccpa|eu ai act",
        r"legal(?:ly)?(?: \w+)?|lawful|lawsuit|sue[ds]?|liab(?:le|ility)|attorney|court",
        r"certified|certification|accredited|audit[ -]proof|fully compliant|(?:in )?breach(?:es|ed)?(?: of)?",
        r"regulat(?:or|ors|ory|ion|ions)(?: \w+)? (?:require|fine|demand|penal)\w*",
        r"fines?|sanctions?|contractually|obligat(?:ed|ion)|binding",
    ),
)

# Products that customers may compare us with. Their name in a brief is a claim that somebody made a comparison.
COMPETITORS = Words(
    "names another company, which no fact does",
    (
        r"vanta|drata|secureframe|onetrust|sprinto|thoropass|auditboard|hyperproof|logicgate|tugboat logic|archer|servicenow|workiva|strike graph",
        r"gainsight|totango|churnzero|planhat|catalyst|vitally|salesforce|hubspot|zendesk|intercom|pendo|amplitude|mixpanel|segment\.io",
        r"google|microsoft|amazon|aws|azure|oracle|sap|ibm|openai|chatgpt|slack|zoom|teams meeting",
        r"competitors?|competing (?:vendors?|products?|tools?)|rival\w*|alternative vendors?|(?:other|another) vendors?",
    ),
)
# Given names that language models reach for first; a name at the beginning of a sentence is seen by no other sign.
GIVEN_NAMES = Words(
    "names a person, and no fact names one",
    (
        r"(?:Sarah|John|Jane|Michael|Emily|David|Alex|Chris|Emma|James|Maria|Anna|Tom|Lisa|Jennifer|Robert|Laura|Kevin|Rachel|Daniel|Jessica|Brian|Susan|Peter|Paul|Linda|Karen|Steve|Mike|Bob|Alice|Priya|Raj|Wei|Ahmed|Fatima|Olga|Ivan|Carlos|Sofia|Lukas|Hannah|Julia|Thomas|Elena|Olivia|Noah|Liam|Mia|Dave|Kate|Matt|Jake|Sam)",
        r"(?:Mr|Mrs|Ms|Dr|Prof)\.? [A-Z]\w+",
    ),
    is_cased=True,
)

# What was said or done between people is known to people only.
HEARSAY = Words(
    "tells of a talk or a wish that no fact has",
    (
        r"(?:as|like) (?:you|they|we) (?:mentioned|said|discussed|agreed|requested|told|noted|talked|promised)",
        r"(?:as )?(?:discussed|agreed|promised|requested) (?:earlier|before|last|on|in|during|with)",
        r"(?:you|they|the customer|the team|\[company\]) (?:said|told|asked (?:us|for|about)|mentioned|complained|requested|expressed|confirmed|agreed|promised|stated|want(?:s|ed)? to (?:upgrade|buy|grow)|loves?|hates?|is (?:happy|unhappy|thrilled|excited|delighted|frustrated)|are (?:happy|unhappy|thrilled|excited|delighted|frustrated))",
        r"(?:their|the|your) (?:ceo|cto|cfo|ciso|coo|vp|head of \w+|chief \w+|founder|board|champion|sponsor) (?:said|told|asked|wants?|has|is|loves?|confirmed|approved)",
        r"(?:thank(?:s| you)) for (?:your|the) (?:time|call|meeting|reply|feedback|message|interest)",
        r"(?:it was )?(?:great|nice|good|lovely) (?:to|meeting|speaking|talking|seeing)(?: \w+)? (?:you|with)",
        r"following up on|per our|in our (?:last|recent|previous) (?:call|meeting|conversation|talk)",
        r"budget (?:is|was|has been) (?:approved|secured|available|freed)|(?:has|have|with) (?:the )?budget",
        r"raised (?:a )?(?:series|funding|round)|funding round|ipo|acqui(?:red|sition)|merger|hiring spree|is hiring|layoffs?",
        r"according to|reportedly|rumou?r\w*|we heard|word is|it is said|sources say|press release|in the news",
        r"(?:has|have|had)? ?already (?:decided|made up (?:their|its|your) minds?|chosen)|coin[- ]toss|near(?:ly)?[- ]certain\w*|every single (?:day|week|time)",
        r"case study|other customers (?:say|saw|report|have)|customers like (?:you|them) (?:see|saw|report|save)",
    ),
)

# Somebody is the largest, or does more than others: it flatters, and nobody compared.
COMPARED = Words(
    "compares them with others, and no fact does",
    (
        r"(?:all[ -]time|record) (?:high|low)s?",
        r"(?:biggest|largest|best|most valuable|top|favou?rite) (?:\w+ )?(?:customers?|accounts?|clients?|users?)",
        r"(?:more|less|better|faster) than (?:any(?:body|one)?|every(?:body|one)?|all|most)(?: (?:other|else))?",
        r"(?:everybody|everyone|anybody|nobody|no one) else",
    ),
)

# What a language model says of itself, or repeats of what it was told.
LEAKS = Words(
    "repeats instructions or speaks of being a language model",
    (
        r"as an ai|as a (?:large )?language model|i(?:'|’)?m an ai|i am an ai|ai assistant|language model",
        r"i (?:cannot|can(?:'|’)t|am unable to|am not able to|won(?:'|’)t) (?:help|assist|comply|fulfil|fulfill|provide|write|generate|do that)",
        r"(?:hidden|secret) (?:rules|instructions|prompts?)|system prompt|(?:my|your|the|these|previous|prior|above|following) (?:instructions?|prompt|guidelines|system message)",
        r"ignore (?:all|any|the|previous|prior|above|my|your)\b.*",
        r"disregard (?:all|any|the|previous|prior|above)\b.*",
        r"(?:here(?:'|’)?s|here is|here are|below is|sure,? here|certainly[!,]|of course[!,]|absolutely[!,])(?: (?:the|a|an|your|my))?(?: \w+)? ?(?:brief|draft|e-?mail|answer|response|json|text|output|version|part|summary|rewrite|is|are)?(?=[ :.,!])",
        r"(?:facts|placeholders?|why_now|lead_with|settle_first|next_step)(?: provided| above| below| given| listed)?:|why_now|lead_with|settle_first|next_step",
        r"(?:the )?facts (?:provided|above|below|given|listed)|based on the (?:provided|given|facts)",
        r"let me know if you(?:'d|’d| would)? (?:like|want|need) (?:me|any)(?: to)?(?: \w+)? ?(?:changes|adjust|revise|rewrite|edits|modif\w*|version|tweaks?)?",
        r"i hope this (?:brief|draft|helps|works|meets)|feel free to (?:edit|adjust|modify|change)",
        r"(?:user|assistant|system|human)\s*:",
        r"<\|.*?\|>|\[/?inst\]|<<sys>>|###|begin(?:ning)? of text|end of (?:text|response|brief)",
        r"lorem ipsum|todo|tbd|xxx+|n/a|undefined|null|nan",
        r"training (?:data|cut-?off)|knowledge cut-?off|openai|anthropic|gpt-?\d*|llama|mistral|gemini|claude",
    ),
)
RUDE = Words(
    "is rude, threatens or makes somebody feel guilty",
    (
        r"stupid|idiots?|idiotic|dumb|moron\w*|fools?|foolish|lazy|incompetent|ignorant|clueless|pathetic|useless|worthless|hopeless|ridiculous|cheapskates?|stingy|losers?|suckers?|naive|whin(?:e|y|ing)|annoying|difficult customer|crap\w*|damn\w*|hell|shit\w*|fuck\w*|bloody|bastards?|wtf",
        r"you(?:'ll|’ll| will| may| might)? regret|or else|you have been warned|consequences|fall(?:ing)? behind|be left behind|left behind|punish\w*|we will (?:cut|suspend|terminate|shut|switch off|restrict|escalate)|shut you (?:off|down)|cut (?:you )?off|suspend your",
        r"(?:after|despite) (?:all|everything) (?:that )?we(?:'ve|’ve| have)? (?:did|done|do)|you owe|least you (?:can|could) do|let(?:ting)? us down|disappoint(?:ed|ing) (?:us|that you|in you)|ungrateful|shame(?:ful)?|ashamed|how could you|we expected (?:more|better)|(?:un)?fair to us|you should (?:feel|be ashamed|have known)",
        r"trick(?:ed|ing)? them|pressure (?:them|the customer)|push them|exploit|manipulat\w+|scare|squeeze|milk (?:them|this)|prey|gullible|desperate|(?:fear of )?missing out",
        r"lie(?: to| about)?|lying|mislead\w*|deceiv\w*|pretend\w*|bluff\w*|cheat\w*",
        r"hackers?|hacked|fail(?:s|ed|ing)? (?:(?:their|your|the|an) )?(?:\w+ )?audits?|los(?:e|ing) (?:access|(?:your|their) data)",
        r"marri\w+|divorc\w+|husbands?|wi(?:fe|ves)|children|pregnan\w*|religio\w*|politic\w*|salar(?:y|ies)",
        r"(?:don(?:'|’)t|do not) you (?:want|care|think)",
    ),
)
# A remark about what people of an industry, a country, an age are like.
PREJUDICE = Words(
    "judges people by their industry, origin, sex, age or faith",
    (
        r"(?:typical|usual|as usual) (?:of|for) (?:\w+ ){0,2}(?:companies|people|firms|customers|industry|sector|businesses|organisations|organizations)",
        r"(?:companies|people|firms|customers|businesses|teams|organisations|organizations) (?:in|from|of) (?:that|this|their|the) (?:\w+ )?(?:industry|sector|country|region|kind|sort|age)",
        r"(?:your|their|this|that|such an?) (?:\w+ )?(?:industry|sector) (?:is|are|has|have|never|always|tends?|lags?|cannot|does)",
        r"(?:public sector|government|non-?profits?|charit(?:y|ies)|healthcare|retail|logistics|fintech|education|manufacturing|old-fashioned|family) (?:people|companies|firms|customers|businesses|buyers|types?|folks?) (?:are|never|always|tend|cannot|do|have|lack|like)",
        r"(?:slow|backward|old-fashioned|unsophisticated|low-tech|technophobe|bureaucratic|boring|dying) (?:industry|sector|business|company|people|companies)",
        r"women|men|ladies|girls|guys|boys|housewives|old people|elderly|millennials|boomers|gen z|foreigners?|immigrants?|muslims?|jews?|christians?|blacks?|whites?|asians?|africans?|indians?|gay|disabled|handicapped",
    ),
)

# An attachment or a link that is not there; a way to reach somebody that nobody gave.
ATTACHMENTS = Words(
    "speaks of an attachment, a link or a way to reach somebody that no fact has",
    (
        r"attach(?:ed|ment|ments|ing)|enclosed|enclosure|see (?:the )?(?:pdf|deck|slides?|document|file|link)|pdf|slide deck|one-pager|brochure|white ?paper",
        r"(?:click|tap|follow|use|visit|open) (?:here|(?:the|this|our|my) (?:link|button|page|website|url))",
        r"(?:visit|see) (?:us|our (?:web)?site)",
        r"link (?:below|above|here)|calendar link|calendly|book(?:ing)? (?:link|page)|website|webinar|unsubscribe",
        r"call (?:me|us) (?:at|on)(?= [+\d(])|phone number|whats ?app|text me|linkedin|twitter",
    ),
)
CONTACT = Words(
    "holds a link, an address or a phone number",
    (
        r"https?\s*:\s*/?/?\S*|hxxps?\S*|ftp://\S+|www\.\S+|mailto:\S*|javascript:\S*|data:\w+/\S*|tel:\S+",
        r"[\w.+-]+\s?(?:@|\(at\)|\[at\]|\{at\})\s?[\w-]+\s?(?:\.|\(dot\)|\[dot\])\s?\w+",
        r"(?<![\w.])[a-z0-9-]+\.(?:com|net|org|io|ai|co|dev|app|de|uk|eu|info|biz|xyz|ly)(?:/\S*)?(?!\w)",
        r"(?:\+|00)\s?\d{1,3}[\s().-]*(?:\d[\s().-]*){6,}",
        r"(?<![\d$€£.,])\(?\d{3}\)?[\s.-]\d{3}[\s.-]\d{4}(?!\d)",
        r"(?<!\w)@[a-z]\w{2,}",
        r"\w+ (?:dot|\(dot\)) (?:com|org|net|io|co)(?!\w)",
    ),
    is_bounded=False,
)
IDENTIFIERS = Words(
    "holds an id or a version, and no fact has one",
    (
        r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
        r"(?:[a-z]{1,6}[-_#]?)\d{5,}",
        r"(?:(?:customer|account|ticket|opp|run) )?id\s?[:#=]\s?\w+",
        r"#\d{3,}|ticket (?:number|id)|customer (?:id|number)|account (?:id|number)|opportunity (?:id|number)",
        r"v\d+(?:\.\d+)*|version \d+(?:\.\d+)*|(?!\d{1,2}\.\d{1,2}\.\d{2,4}(?!\d))\d+\.\d+\.\d+",
        r"[0-9a-f]{16,}",
        r"\d{9,}",
    ),
)

MAIL = Words(
    "is written as a letter, and only the e-mail of an account executive may be one",
    (
        r"subject:.*|re:|betreff:",
        r"(?:dear|hi|hello|hey) (?:there|team|all|everyone|\[\w+\]|[a-z]+)(?=[ ,!:])",
        r"(?:best|kind|warm|many|with kind) regards|regards,|sincerely|yours (?:truly|faithfully)|cheers,|best wishes|best,|thanks,|to whom it may concern|looking forward to hearing",
        r"\[(?:your|my) \w+\]",
    ),
)

# Within how many days it is that something comes, at most, where a text says it without a number.
SOON = {
    "today": 0,
    "tomorrow": 1,
    "this week": 6,
    "next week": 13,
    "this month": 30,
    "next month": 61,
    "this quarter": 91,
    "next quarter": 183,
    "this summer": 150,
    "soon": 61,
    "shortly": 31,
    # No fact names a season.
    **{f"in {article}{season}": -1 for article in ("", "the ") for season in ("spring", "summer", "autumn", "winter")},
    "imminent": 14,
    "imminently": 14,
    "around the corner": 31,
    "any day": 7,
}
# What a date is said of.
CONTRACT = Words("speaks of the contract", (r"contract\w*", r"renew\w*", r"expir\w*", r"terms?"))
# How the own figures of a customer are told from those of others.
PEERS = r"(?:similar|other|comparable) (?:companies|customers|firms)|peers|(?:the )?industry(?:'s|’s)? average|on average elsewhere"

# What a customer does more or less of. "Growth plan" is a plan, and "a higher plan" is no trend: only verbs count, and what they are said of.
RISING = Words(
    "says that something rose",
    (
        r"r[io]s(?:e|es|en|ing)|increas(?:e[sd]?|ing)|gr[eo]w(?:s|n|ing)?(?! into)|climb(?:s|ed|ing)?|improv(?:e[sd]?|ing)|went up|going up|gone up|is up|are up|picked up|picking up|surg(?:e[sd]?|ing)|soar(?:s|ed|ing)?|accelerat\w+|expanding|upward|on the rise",
    ),
)
FALLING = Words(
    "says that something fell",
    (
        r"f[ae]ll(?:s|en|ing)?|drop(?:s|ped|ping)?|declin(?:e[sd]?|ing)|decreas(?:e[sd]?|ing)|shr[aiu]nk(?:ing)?|slow(?:ed|ing|s)?(?: down)?|went down|going down|gone down|is down|are down|slip(?:s|ped|ping)?|plummet\w*|worsen\w*|wan(?:es|ed|ing)|downward|stagnat\w+|dwindl\w+|tumbl\w+",
    ),
)
# Topics of which it can be said that they rise or fall, and words that name them.
TRENDS = {
    "adoption": r"adopt\w+",
    "usage": r"us(?:age|e of the product|es? the product)|activit\w+|events?|work in (?:it|the product)|engagement|logins?",
    "support": r"tickets?",
}

# Words that another plan might have. A plan is what the ladder of the policy says, and only the next rung may be sold.
PLAN_WORDS = (
    "pro", "professional", "premium", "business", "team", "teams", "plus", "basic", "standard", "ultimate", "platinum", "gold", "silver",
    "advanced", "essentials", "elite", "lite", "max", "unlimited", "corporate", "scale", "core", "personal", "individual", "vip",
)  # fmt: skip

# English is recognised by the words that every English text has, other languages by theirs.
ENGLISH = frozenset(
    each(
        "a about after also an and any are as ask at be because been before but by call can could date did do does each first fit for from get give go "
        "had has have help how i if in into is it its join last let like look may more most need next no not of offer on once one only open or our out "
        "over own plan product see shall should show so some still support talk team than that the their them then there they this those through time "
        "to together up use us was way we week were what when where which while who why will with within work would you your"
    )
)
FOREIGN = (
    frozenset(
        [
            "der",
            "die",
            "das",
            "und",
            "ist",
            "nicht",
            "ein",
            "eine",
            "einen",
            "mit",
            "für",
            "auf",
            "dem",
            "den",
            "von",
            "zu",
            "im",
            "sie",
            "wir",
            "ihr",
            "ihre",
            "haben",
            "wird",
            "werden",
            "auch",
            "sich",
            "bei",
            "nach",
            "le",
            "la",
            "les",
            "un",
            "une",
            "des",
            "du",
            "et",
            "est",
            "nous",
            "vous",
            "votre",
            "vos",
            "pour",
            "dans",
            "avec",
            "sur",
            "pas",
            "que",
            "qui",
            "ce",
            "cette",
            "ont",
            "sont",
            "el",
            "los",
            "las",
            "una",
            "y",
            "es",
            "por",
            "con",
            "para",
            "su",
            "sus",
            "del",
            "que",
            "no",
            "se",
            "le",
            "más",
            "como",
            "pero",
            "il",
            "lo",
            "gli",
            "di",
            "che",
            "per",
            "con",
            "non",
            "sono",
            "della",
            "delle",
            "het",
            "een",
            "van",
            "voor",
            "met",
            "niet",
            "naar",
            "zijn",
            "wij",
            "jullie",
            "och",
            "att",
            "det",
            "som",
            "på",
            "för",
            "inte",
            "är",
            "med",
            "av",
            "vi",
            "ni",
        ]
    )
    - ENGLISH
)

# Acronyms and names that are no invention in a brief: of the two people who read it, of the calendar, of money.
KNOWN_NAMES = frozenset(
    each(
        "I AE CSM USD OK FAQ Monday Tuesday Wednesday Thursday Friday Saturday Sunday January February March April May June July August "
        "September October November December Jan Feb Mar Apr Jun Jul Aug Sep Sept Oct Nov Dec"
    )
)

# Who is spoken of by what they do; written with capitals by many.
ROLES = frozenset(
    each("account executive customer success manager company team plan ae csm sales support product contract")
)
