#!/usr/bin/env python3
"""Counts a genuine web server log the way a person would, sharing no code with Cairn.

    access_log.py SHARED_DATA COUNTRY_MMDB

prints one JSON object: what was left out and why, totals, pages, sources, countries and the agents that are programs.
Python's standard library only. What it takes as the rules, and from where:

page view   a row that is no asset, was asked for with GET, and whose page was delivered (200, 206, 304): a redirect
            is followed by the row of its target, and an error page is no page of the site.
visitor     address and user agent.
visit       QUERY.md 2.3: the next view of the visitor at most 30 whole minutes after the visit's latest one.
            Its attributes are those of its first view in the order of the log.
page        the path of the address, as it was sent, without the query.
source      QUERY.md 4.3: `utm_source`, else `source`, else `ref` of the page's address; else the referring site:
            its name in the published list, else its host without `www.`. The site's own host is none.
country     the published expectation for the address; where there is none, the address looked up in the database
            with the reader below, which is first checked against all expectations.
bot         an agent that is empty, that is in a published list of robots or carries a name of one; otherwise, unless
            it names something that only people hold (text browsers, phones before smartphones, an app on a phone),
            one that says one of a few words, leaves an address to write to, or names no browser at all.
"""

import collections
import gzip
import ipaddress
import json
import os
import re
import sys
import urllib.parse

OWN_DOMAIN = "semicomplete.com"
DELIVERED = (200, 206, 304)
TIMEOUT_MINUTES = 30


def rows(path):
    opener = gzip.open if path.endswith(".gz") else open
    with opener(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


# --- which rows are page views --------------------------------------------------------------------------------------

def left_out_as(row):
    if row["event"] == "asset":
        return "asset"
    if row["method"] != "GET":
        return "method"
    return None if row["status"] in DELIVERED else "status"


# --- visits ---------------------------------------------------------------------------------------------------------

def seconds(text):
    """Seconds since 1970 of `2015-05-17T10:05:03Z`."""
    day, clock = text.rstrip("Z").split("T")
    year, month, day = map(int, day.split("-"))
    hour, minute, second = map(int, clock.split(":"))
    # Days from a fixed date, counted from March so that the leap day comes last.
    year, month = (year, month - 3) if month > 2 else (year - 1, month + 9)
    days = 365 * year + year // 4 - year // 100 + year // 400 + (153 * month + 2) // 5 + day - 1
    return (days - 719468) * 86400 + hour * 3600 + minute * 60 + second


def visits_of(views):
    """Cuts one visitor's views where more than the timeout passed, whatever their order in the log."""
    visits = []
    for view in sorted(views, key=lambda view: view["at"]):
        if visits and (view["at"] - visits[-1][-1]["at"]) // 60 <= TIMEOUT_MINUTES:
            visits[-1].append(view)
        else:
            visits.append([view])
    return [sorted(visit, key=lambda view: view["number"]) for visit in visits]


# --- sources --------------------------------------------------------------------------------------------------------

class Sources:
    """The published list: host and beginning of the path, the longest of which counts; `google.{}` stands for every
    country; the first entry of a place names it."""

    def __init__(self, path):
        self.places = collections.defaultdict(dict)
        self.names = {}
        for row in rows(path):
            host, slash, below = bare(row["domain"]).partition("/")
            self.places[host].setdefault(slash + below, row["source"])
            self.names.setdefault(row["source"].lower(), row["source"])

    def of_place(self, host, path):
        known = {**self.places.get(stem(host) + ".{}", {}), **self.places.get(host, {})}
        fitting = [below for below in known if path.startswith(below)]
        return known[max(fitting, key=len)] if fitting else host

    def of_view(self, url, referrer):
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(url).query)
        for name in ("utm_source", "source", "ref"):
            if name in query:
                given = query[name][0]
                return self.names.get(given.lower(), given)
        host, path = place_of(referrer)
        if not host or host == OWN_DOMAIN or host.endswith("." + OWN_DOMAIN):
            return ""
        return self.of_place(host, path)


def place_of(address):
    """The host of an address without `www.`, and its path; empty where it is no host name."""
    found = re.match(r"https?://(?:[^/?#@]*@)?([a-z0-9._-]+)(?::\d+)?(?:(/[^?#]*)|(?=[?#])|$)", address, re.I)
    return (bare(found.group(1).lower()), found.group(2) or "/") if found else ("", "")


def stem(host):
    """What stands before the country: `google` of `google.de`, `google.co.uk` and `google.com.br`."""
    found = re.fullmatch(r"(.+?)(?:\.(?:co|com))?\.(?:[a-z]{2}|com)", host)
    return found.group(1) if found else ""


def bare(host):
    return host[4:] if host.startswith("www.") else host


# --- countries ------------------------------------------------------------------------------------------------------

class Countries:
    """Reads the published MMDB format (maxmind.github.io/MaxMind-DB), as much of it as a country takes."""

    MARK = b"\xab\xcd\xefMaxMind.com"

    def __init__(self, path):
        with open(path, "rb") as file:
            self.bytes = file.read()
        start = self.bytes.rindex(self.MARK) + len(self.MARK)
        self.data = start
        about, _ = self.value(start)
        self.nodes, self.bits = about["node_count"], about["record_size"]
        self.has_ipv6 = about["ip_version"] == 6
        self.data = self.nodes * self.bits // 4 + 16

    def of(self, address):
        packed = ipaddress.ip_address(address).packed
        if self.has_ipv6 and len(packed) == 4:
            packed = bytes(12) + packed
        node = 0
        for index in range(len(packed) * 8):
            node = self.child(node, packed[index // 8] >> (7 - index % 8) & 1)
            if node >= self.nodes:
                break
        if node <= self.nodes:
            return ""
        found, _ = self.value(self.data + node - self.nodes - 16)
        return found.get("country_code", "")

    def child(self, node, bit):
        size = self.bits // 4
        record = self.bytes[node * size:(node + 1) * size]
        if self.bits == 28:
            high = record[3] >> 4 if bit == 0 else record[3] & 15
            low = record[:3] if bit == 0 else record[4:]
            return high << 24 | int.from_bytes(low, "big")
        half = size // 2
        return int.from_bytes(record[half * bit:half * (bit + 1)], "big")

    def value(self, at):
        kind, size = self.bytes[at] >> 5, self.bytes[at] & 31
        at += 1
        if kind == 1:
            return self.pointed(at, size)
        if kind == 0:
            kind, at = self.bytes[at] + 7, at + 1
        if size >= 29:
            extra = size - 28
            base = {1: 29, 2: 285, 3: 65821}[extra]
            size, at = base + int.from_bytes(self.bytes[at:at + extra], "big"), at + extra
        if kind == 7:
            return self.pairs(at, size)
        if kind == 11:
            items = []
            for _ in range(size):
                item, at = self.value(at)
                items.append(item)
            return items, at
        if kind == 14:
            return bool(size), at
        raw = self.bytes[at:at + size]
        text = raw.decode() if kind == 2 else int.from_bytes(raw, "big")
        return text, at + size

    def pairs(self, at, size):
        found = {}
        for _ in range(size):
            key, at = self.value(at)
            found[key], at = self.value(at)
        return found, at

    def pointed(self, at, size):
        count = (size >> 3) + 1
        high = 0 if count == 4 else (size & 7) << 8 * count
        target = high + int.from_bytes(self.bytes[at:at + count], "big") + (0, 2048, 526336, 0)[count - 1]
        return self.value(self.data + target)[0], at + count


# --- programs -------------------------------------------------------------------------------------------------------

class Programs:
    WORDS = re.compile(
        r"bot\b|bot[/\-_;]|crawl|spider|slurp|archive|fetch|feed|rss|reader|monitor|check|scan|validator|preview|"
        r"curl|wget|python|java/|perl|ruby|libwww|httpclient|http-client|headless|phantomjs|search|"
        r"\blibrary\b|favicon", re.I)
    CONTACT = re.compile(r"https?://|www\.|[\w.-]+@[\w-]+\.\w+|[\w.-]+ at [\w-]+", re.I)

    # What the first word or the platform of an agent says of who holds the device: published lists of people's agents
    # (ua/device_detector, ua/uap_core, bots/humans_isbot) have Links, Lynx, Midori, Instagram and phones with MIDP or
    # MAUI as such; CFNetwork on Darwin is an app on somebody's iPhone or Mac.
    PEOPLE = re.compile(r"(Lynx|Links|Midori|Instagram)[/ ]|.*(\bMIDP-\d|MAUI[ /]|CFNetwork/.* Darwin/)")

    def __init__(self, directory):
        self.agents, self.names = set(), set()
        for name in ("crawler_user_agents.jsonl.gz", "isbot.jsonl.gz"):
            for row in rows(os.path.join(directory, name)):
                self.agents.add(row["ua"])
                # Short names are part of other words.
                if row.get("bot_name") and len(row["bot_name"]) >= 7:
                    self.names.add(row["bot_name"])

    def why(self, agent):
        """The rule that calls this agent a program; empty for a browser."""
        if not agent or agent == "-":
            return "empty"
        if agent in self.agents:
            return "listed"
        if any(name in agent for name in self.names):
            return "name"
        if self.PEOPLE.match(agent):
            return ""
        if self.WORDS.search(agent):
            return "word"
        if self.CONTACT.search(agent):
            return "contact"
        # `Mozilla/4.0 (compatible;)` says what every browser says and nothing of itself.
        return "" if re.match(r"(Mozilla|Opera)/\S+ (?!\(compatible;?\)$)", agent) else "no browser"


# --- the counts -----------------------------------------------------------------------------------------------------

def figures(views):
    return {
        "pageviews": len(views),
        "visitors": len({view["visitor"] for view in views}),
        "visits": len({view["visit"] for view in views}),
    }


def by(views, key):
    groups = collections.defaultdict(list)
    for view in views:
        groups[view[key]].append(view)
    return {value: figures(group) for value, group in groups.items()}


def main(shared, country_database):
    sources = Sources(os.path.join(shared, "referrers/sources_matomo_cc0.jsonl"))
    programs = Programs(os.path.join(shared, "bots"))
    countries = Countries(country_database)
    expected = {
        row["ip"]: row["cc_dbip"]
        for row in rows(os.path.join(shared, "ip/ip_expected.jsonl.gz"))
        if row["set"] == "access_log" and row["cc_dbip"]
    }
    left_out, visitors = collections.Counter(), collections.defaultdict(list)
    for number, row in enumerate(rows(os.path.join(shared, "traffic/access_log_2015.jsonl.gz"))):
        reason = left_out_as(row)
        if reason:
            left_out[reason] += 1
            continue
        agent = row["ua"] or ""
        view = {
            "number": number,
            "at": seconds(row["ts"]),
            "visitor": (row["ip"], agent),
            "agent": agent,
            "page": urllib.parse.urlsplit(row["url"]).path or "/",
            "own_source": sources.of_view(row["url"], row["referrer"] or ""),
            "country": expected.get(row["ip"]) or countries.of(row["ip"]),
            "expected": row["ip"] in expected,
            "program": bool(programs.why(agent)),
        }
        visitors[view["visitor"]].append(view)
    views, count = [], 0
    for own in visitors.values():
        for visit in visits_of(own):
            count += 1
            for view in visit:
                view["visit"], view["source"] = count, visit[0]["own_source"]
            views += visit
    people = [view for view in views if not view["program"]]
    bots = [view for view in views if view["program"]]
    agents = collections.Counter(view["agent"] for view in views)
    report = {
        "left_out": left_out,
        "reader_disagrees": sum(countries.of(ip) != country for ip, country in expected.items()),
        "views_with_expected_country": sum(view["expected"] for view in views),
        "totals": {"all": figures(views), "people": figures(people), "bots": figures(bots)},
        "agents": {agent: {"views": views, "program": programs.why(agent)} for agent, views in agents.items()},
    }
    for dimension in ("page", "source", "country"):
        report[dimension] = {"all": by(views, dimension), "people": by(people, dimension)}
    json.dump(report, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
