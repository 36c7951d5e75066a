"""Every word that a statement of a reader's may consist of, beside names and values: what is not here is refused.

A function is here if it reads nothing but its arguments. Those known to fail for some values are marked: a reader of
one tenant uses them with values of the statement alone. What shields the rows of others is not this list, which can
never be whole, but the LIMIT of `sql_tables.bind_tenant`.
"""

VIEWS = (
    "events", "runs", "sessions", "token_usage", "tool_calls", "approvals", "events_with_standing",
)  # fmt: skip
"""What may be read, each with a column `tenant_id`."""


def _set(*texts: str) -> frozenset[str]:
    return frozenset(" ".join(texts).split())


_AGGREGATES = _set(
    """count sum avg min max any anylast anyheavy argmin argmax uniq uniqexact uniqcombined uniqhll12 quantile quantiles
    quantileexact quantilesexact quantiletdigest quantiletiming median medianexact grouparray groupuniqarray topk
    stddevpop stddevsamp varpop varsamp corr covarpop covarsamp sumwithoverflow first_value last_value
    grouparraysorted"""
)
_COMBINATORS = ("", "if", "ornull", "ordefault", "ornullif", "ifornull", "distinct")

_WINDOW_FUNCTIONS = (
    "row_number rank dense_rank percent_rank ntile lag lead laginframe leadinframe nth_value"
)

_CONDITIONALS = """if multiif coalesce ifnull nullif isnull isnotnull iszeroornull tonullable assumenotnull least
    greatest not and or xor equals notequals less lessorequals greater greaterorequals"""

_NUMBERS = """abs round floor ceil ceiling trunc truncate sqrt cbrt exp log ln log2 log10 pow power sign isnan isfinite
    isinfinite ifnotfinite intdivorzero moduloorzero"""

_TEXT = """tostring lower upper lowerutf8 upperutf8 lcase ucase length lengthutf8 char_length character_length empty
    notempty substring substr substringutf8 left right leftutf8 rightutf8 position positioncaseinsensitive positionutf8
    positioncaseinsensitiveutf8 startswith endswith concat concatwithseparator trim ltrim rtrim trimleft trimright
    trimboth reverse reverseutf8 replaceall replaceone replace splitbychar splitbystring arraystringconcat hex
    countsubstrings countsubstringscaseinsensitive tovalidutf8 isvalidutf8 formatreadablesize
    formatreadablequantity formatreadabletimedelta hassubsequence totypename cityhash64 siphash64"""

_TIMES = """now now64 today yesterday current_timestamp current_date tostartofyear tostartofquarter tostartofmonth
    tostartofweek tostartofday tostartofhour tostartofminute tostartoffiveminutes tostartoftenminutes
    tostartoffifteenminutes tostartofsecond tostartofinterval tomonday toyear toquarter tomonth todayofmonth todayofweek
    todayofyear tohour tominute tosecond toweek toisoweek toisoyear toyyyymm toyyyymmdd toyyyymmddhhmmss totimezone
    totime tounixtimestamp64milli tounixtimestamp64micro fromunixtimestamp64milli fromunixtimestamp64micro
    datetrunc date_trunc datediff date_diff timestamp_diff formatdatetime extract
    addyears addquarters addmonths addweeks adddays addhours addminutes addseconds subtractyears subtractquarters
    subtractmonths subtractweeks subtractdays subtracthours subtractminutes subtractseconds date_add date_sub
    tointervalsecond tointervalminute tointervalhour tointervalday tointervalweek tointervalmonth tointervalyear"""

_CONVERSIONS = " ".join(
    f"to{kind}or{otherwise}"
    for kind in (
        *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
        *("float32", "float64", "date", "date32", "datetime", "datetime64", "uuid"),
        *("decimal32", "decimal64", "decimal128"),
    )
    for otherwise in ("null", "zero")
)

_JSON = """jsonextract jsonextractstring jsonextractint jsonextractuint jsonextractfloat jsonextractbool jsonextractraw
    jsonextractarrayraw jsonextractkeys jsonextractkeysandvalues jsonextractkeysandvaluesraw jsonhas jsonlength jsontype
    isvalidjson"""

_ARRAYS = """array tuple tupleelement arrayelement arraymap arrayfilter arrayexists
    arrayall arraycount arraysum arraymin arraymax arrayavg arraysort arrayreversesort arrayreverse arraydistinct
    arrayuniq arrayconcat arrayslice arrayfirst arraylast arrayenumerate arrayjoin has hasany hasall indexof
    parsedatetimebesteffortornull"""

WITH_PATTERN = frozenset(
    {"match", "extractall", "replaceregexpall", "replaceregexpone", "like", "ilike", "countmatches"}
)
"""Their second argument is a pattern, and fails where it is none: it must stand in the statement."""

CONVERTING = _set(
    """toint8 toint16 toint32 toint64 touint8 touint16 touint32 touint64 tofloat32 tofloat64 todecimal32 todecimal64
    todecimal128 todate32 todatetime todatetime64 touuid tounixtimestamp cast timestamp date"""
)
"""They fail for some values: a reader of one tenant may use them on values of the statement alone."""

DIVIDING = {"intdiv": "intDivOrZero", "modulo": "moduloOrZero"}
"""They fail for a divisor of 0; what stands for them."""

TAKING_PLACES = _set(
    "round floor ceil ceiling trunc truncate substring substr substringutf8 left right leftutf8 rightutf8 arrayslice"
)
"""They fail for some numbers of places or characters: how many must stand in the statement."""

TAKING_FUNCTIONS = _set(
    """arraymap arrayfilter arrayexists arrayall arraycount arraysum arraymin arraymax arrayavg arraysort
    arrayreversesort arrayfirst arraylast"""
)
"""A name in the first place of several is a function's to them, any function's: it must be a lambda."""

FUNCTIONS = frozenset(
    {
        *(name + end for name in _AGGREGATES for end in _COMBINATORS),
        *_set(
            _WINDOW_FUNCTIONS, _CONDITIONALS, _NUMBERS, _TEXT, _TIMES, _CONVERSIONS, _JSON, _ARRAYS
        ),
        *WITH_PATTERN,
        *CONVERTING,
        *DIVIDING,
        "todate",
    }
)
"""In lower case, as ClickHouse knows most of them in any."""

KEYWORDS = _set(
    """select distinct from as where and or not in is null true false between like ilike case when then else end exists
    group by having order asc desc nulls first last limit offset with join inner left right full outer cross on using
    any all semi anti asof over partition rows range unbounded preceding following current row window interval
    year quarter month week day hour minute second millisecond microsecond both leading trailing for except qualify
    escape ties div"""
)

TYPES = _set(
    """string nullable int8 int16 int32 int64 uint8 uint16 uint32 uint64 float32 float64 decimal date date32 datetime
    datetime64 uuid bool array lowcardinality"""
)
