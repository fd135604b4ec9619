"""Reads a run directory's files with programs that voteburst does not build.

Usage: formats.py RUN_DIR REPORT_SCHEMA. Ends with a traceback and 1 at the first figure that differs from report.json's.
"""

import csv
import json
import sys
from collections import Counter
from pathlib import Path

import jsonschema
from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader
from junitparser import Error, Failure, JUnitXml


def same(found, needed, what):
    if found != needed:
        raise AssertionError(f"{what}: found {found}, report.json says {needed}")


def rows(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, strict=True))


def schema(report, path):
    contents = json.loads(Path(path).read_text(encoding="utf-8"))
    validator = jsonschema.validators.validator_for(contents)
    validator.check_schema(contents)
    validator(contents).validate(report)


def interval_log(report, path):
    reader = HistogramLogReader(str(path), HdrHistogram(1, 3_600_000_000, 3))
    found = {}
    while (histogram := reader.get_next_interval_histogram()) is not None:
        found[histogram.get_tag()] = histogram
    same(sorted(found), sorted(proxy["address"] for proxy in report["proxies"]), "tags of latency.hlog")
    for proxy in report["proxies"]:
        address, response = proxy["address"], proxy["latency_ms"]["response"]
        same(found[address].get_total_count(), response["count"], f"count of {address}")
        # Both stand for a bucket of three significant digits, and either may name any value in it.
        highest = round((response["max"] or 0) * 1000)
        if not found[address].values_are_equivalent(found[address].get_max_value(), highest):
            raise AssertionError(f"max of {address}: {found[address].get_max_value()} us, report.json says {highest} us")


def junit(report, path):
    suites = list(JUnitXml.fromfile(str(path)))
    same(len(suites), 1, "suites of junit.xml")
    codes = Counter()
    for case in suites[0]:
        for result in case.result:
            if isinstance(result, (Error, Failure)):
                codes[type(result).__name__.lower(), result.type] += 1
    kinds = {"fail": "failure", "fail-always": "failure", "unknown": "error"}
    reasons = report["verdict"]["reasons"]
    needed = {(kinds[reason["effect"]], reason["code"]) for reason in reasons if reason["effect"] in kinds}
    same(set(codes), needed, "failures and errors of junit.xml")
    same(suites[0].failures, sum(n for (kind, _), n in codes.items() if kind == "failure"), "attribute failures")
    same(suites[0].errors, sum(n for (kind, _), n in codes.items() if kind == "error"), "attribute errors")
    same(not codes, report["verdict"]["outcome"] == "pass", "whether junit.xml passes")


def tables(report, place):
    counts = ["accepted", "failed", "sent", "opened", "dns_answers"]
    by_proxy = {row["proxy"]: row for row in rows(place / "proxies.csv")}
    timeline = rows(place / "timeline.csv")
    same(sorted(by_proxy), sorted(proxy["address"] for proxy in report["proxies"]), "rows of proxies.csv")
    for proxy in report["proxies"]:
        address = proxy["address"]
        for name in counts:
            same(int(by_proxy[address][name]), proxy[name], f"{name} of {address} in proxies.csv")
            total = sum(int(row[name]) for row in timeline if row["proxy"] == address)
            same(total, proxy[name], f"{name} of {address} summed over timeline.csv")
        p99, needed = by_proxy[address]["response_p99_ms"], proxy["latency_ms"]["response"]["p99"]
        same(float(p99) if p99 else None, needed, f"response_p99_ms of {address}")
    same(sum(int(row["accepted"]) for row in timeline), report["votes"]["accepted"], "accepted in timeline.csv")


def main():
    place, schema_path = Path(sys.argv[1]), sys.argv[2]
    report = json.loads((place / "report.json").read_text(encoding="utf-8"))
    schema(report, schema_path)
    interval_log(report, place / "latency.hlog")
    junit(report, place / "junit.xml")
    tables(report, place)
    print(f"read {report['votes']['accepted']} accepted votes of {len(report['proxies'])} proxies")


main()
