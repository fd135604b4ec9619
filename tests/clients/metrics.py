"""Reads /metrics of a running rehearsal with Prometheus' own parsers, whenever the page is told of something new, until it ends.

Usage: metrics.py URL DASHBOARD. Prints the last values as JSON. Ends with a traceback and 1 when a parser refuses what it reads, when
a counter goes back, or when a query of the dashboard names what is not there.
"""

import json
import re
import sys
from http.client import HTTPException
from pathlib import Path
from urllib.request import Request, urlopen

from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as prometheus

# Words of PromQL that stand where names of metrics do.
FUNCTIONS = {"sum", "max", "by", "on", "rate", "increase", "group_left", "histogram_quantile"}


def scrape(url, accept, parse):
    text = urlopen(Request(url + "metrics", headers={"Accept": accept}), timeout=10).read().decode("utf-8")
    samples = {}
    for family in parse(text):
        for sample in family.samples:
            samples[(sample.name, tuple(sorted(sample.labels.items())))] = (sample.value, family.type)
    return samples


def never_back(before, after):
    for key, (value, kind) in before.items():
        if kind in ("counter", "histogram") and after.get(key, (value,))[0] < value:
            raise AssertionError(f"{key} went back from {value} to {after[key][0]}")


def queries(dashboard):
    for panel in dashboard["panels"]:
        yield from (target["expr"] for target in panel["targets"])
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            metric, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"]["query"]).groups()
            yield f"sum by ({label}) ({metric})"


def every_query_finds_something(dashboard, samples):
    labels = {}
    for (name, pairs), _ in samples.items():
        labels.setdefault(name, set()).update(key for key, _ in pairs)
    seen = set()
    for query in queries(dashboard):
        plain = re.sub(r'"[^"]*"|\[\w+\]', "", query)
        names = set(re.findall(r"\bvoteburst_\w+", plain))
        if not names:
            raise AssertionError(f"no metric in {query}")
        for name in names:
            if name not in labels:
                raise AssertionError(f"{name} is not at the endpoint: {query}")
        for metric, matchers in re.findall(r"\b(voteburst_\w+)\{([^}]*)\}", plain):
            for label in re.findall(r"(\w+)\s*[=!]", matchers):
                if label not in labels[metric]:
                    raise AssertionError(f"{metric} has no label {label}: {query}")
        together = set.union(*(labels[name] for name in names))
        for group in re.findall(r"\b(?:by|on)\s*\(([^)]*)\)", plain):
            for label in re.findall(r"\w+", group):
                if label not in together:
                    raise AssertionError(f"none of {names} has a label {label}: {query}")
        words = re.sub(r"\{[^}]*\}|\b(?:by|on)\s*\([^)]*\)", "", plain)
        for word in re.findall(r"\b[a-z_]\w*", words):
            if word not in FUNCTIONS and word not in names:
                raise AssertionError(f"{word} is neither a metric nor a function that is known here: {query}")
        seen |= names
    return seen


def main(url, dashboard):
    last, scrapes = {}, 0
    try:
        for line in urlopen(url + "events", timeout=60):
            if not line.startswith(b"data:"):
                continue
            found = scrape(url, "text/plain", prometheus)
            never_back(last, found)
            scrape(url, "application/openmetrics-text", openmetrics)
            last, scrapes = found, scrapes + 1
    except (HTTPException, OSError):
        # The command has ended, and its endpoint with it.
        pass
    shown = every_query_finds_something(json.loads(Path(dashboard).read_text(encoding="utf-8")), last)
    value = lambda name, **labels: sum(
        value for (other, pairs), (value, _) in last.items() if other == name and labels.items() <= dict(pairs).items()
    )
    phase = next(dict(pairs)["phase"] for (name, pairs), (value, _) in last.items() if name == "voteburst_phase" and value == 1)
    told = {
        "scrapes": scrapes,
        "shown": sorted(shown),
        "phase": phase,
        "planned": value("voteburst_plan_votes"),
        "accepted": value("voteburst_attempts_total", outcome="accepted"),
        "by_proxy": value("voteburst_proxy_votes_accepted_total"),
    }
    print(json.dumps(told))


main(*sys.argv[1:])
