//! Places and networks: the fetched databases against independent ones, and MMDB files of any shape.

// Shares are what these tests print; helpers outside of test functions unwrap.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::io::Read;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use cairn_enrich::{Address, Enricher, Network, Region};
use serde_json::Value;

fn existing(test: &str, path: PathBuf) -> Option<PathBuf> {
    if path.exists() {
        return Some(path);
    }
    eprintln!("NOT RUN: {test}: {} is missing", path.display());
    None
}

fn fetched(test: &str, name: &str) -> Option<PathBuf> {
    existing(test, Path::new(env!("CARGO_MANIFEST_DIR")).join("../../native/data").join(name))
}

fn expected(test: &str) -> Option<Vec<Value>> {
    let root = std::env::var_os("CAIRN_SHARED_DATA")
        .map(PathBuf::from)
        .unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"));
    let path = existing(test, root.join("ip/ip_expected.jsonl.gz"))?;
    let mut text = String::new();
    flate2::read::GzDecoder::new(std::fs::File::open(path).unwrap())
        .read_to_string(&mut text)
        .unwrap();
    Some(text.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

#[test]
fn countries_and_systems_agree_with_independent_databases() {
    let test = "countries_and_systems_agree_with_independent_databases";
    let Some(rows) = expected(test) else { return };
    let mut paths = Vec::new();
    for name in ["country.mmdb", "asn-ipv4.csv", "asn-ipv6.csv"] {
        let Some(path) = fetched(test, name) else { return };
        paths.push(path);
    }
    let began = std::time::Instant::now();
    let network = Network::open(&paths).unwrap();
    println!("opened in {:?}; tables {} bytes", began.elapsed(), network.memory_bytes());
    assert!(network.memory_bytes() <= 9_000_000, "memory");
    let (mut countries, mut with_country, mut systems, mut with_system) = (0, 0, 0, 0);
    let (mut marked, mut hosting, mut wrongly) = (0, 0, 0);
    for row in &rows {
        let ip: IpAddr = row["ip"].as_str().unwrap().parse().unwrap();
        let got = network.locate(ip);
        if let Some(want) = row["cc_consensus"].as_str() {
            with_country += 1;
            countries += usize::from(got.place.country.as_str() == want);
        }
        if let Some(want) = row["asn"].as_u64() {
            with_system += 1;
            systems += usize::from(u64::from(got.carrier.asn) == want);
        }
        let is_hosting = row["x4b_dc"] == Value::Bool(true) || row["kind"] == "hosting";
        hosting += usize::from(is_hosting);
        marked += usize::from(is_hosting && got.carrier.marks.hosting);
        wrongly += usize::from(!is_hosting && got.carrier.marks.hosting);
    }
    println!("country: {countries} of {with_country} with a consensus");
    println!("autonomous system: {systems} of {with_system}");
    println!(
        "hosting marks: {marked} of {hosting}; others marked: {wrongly} of {}",
        rows.len() - hosting
    );
    assert!(countries * 100 >= with_country * 97);
    assert!(systems * 100 >= with_system * 95);
    assert!(marked * 100 >= hosting * 60 && wrongly * 100 <= (rows.len() - hosting) * 10);
}

/// Writes small MMDB files: enough of the format for the shapes that users bring.
mod mmdb {
    pub enum Item {
        Text(&'static str),
        Number(u32),
        Flag(bool),
        Map(Vec<(&'static str, Item)>),
        List(Vec<Item>),
    }

    fn control(out: &mut Vec<u8>, kind: u8, size: usize) {
        let (first, extended) = if kind < 8 { (kind << 5, None) } else { (0, Some(kind - 7)) };
        out.push(first | size.min(29) as u8);
        out.extend(extended);
        if size >= 29 {
            out.push(u8::try_from(size - 29).unwrap());
        }
    }

    fn encode(out: &mut Vec<u8>, item: &Item) {
        match item {
            Item::Text(text) => {
                control(out, 2, text.len());
                out.extend(text.as_bytes());
            }
            Item::Number(number) => {
                control(out, 6, 4);
                out.extend(number.to_be_bytes());
            }
            Item::Flag(flag) => control(out, 14, usize::from(*flag)),
            Item::Map(pairs) => {
                control(out, 7, pairs.len());
                for (key, value) in pairs {
                    encode(out, &Item::Text(key));
                    encode(out, value);
                }
            }
            Item::List(items) => {
                control(out, 11, items.len());
                items.iter().for_each(|item| encode(out, item));
            }
        }
    }

    /// A file with one record for every address that begins with `prefix` (IPv4 in a v4 tree, the
    /// first 32 bits otherwise).
    pub fn file(version: u32, prefix: u32, length: usize, record: &Item) -> Vec<u8> {
        let nodes = length as u32;
        let mut out = Vec::new();
        for depth in 0..nodes {
            let bit = prefix >> (31 - depth) & 1;
            let next = if depth + 1 == nodes { nodes + 16 } else { depth + 1 };
            let pair = if bit == 0 { [next, nodes] } else { [nodes, next] };
            pair.iter().for_each(|value| out.extend(&value.to_be_bytes()[1..]));
        }
        out.extend([0; 16]);
        encode(&mut out, record);
        out.extend(b"\xAB\xCD\xEFMaxMind.com");
        let metadata = Item::Map(vec![
            ("node_count", Item::Number(nodes)),
            ("record_size", Item::Number(24)),
            ("ip_version", Item::Number(version)),
            ("database_type", Item::Text("test")),
            ("languages", Item::List(vec![Item::Text("en")])),
            ("binary_format_major_version", Item::Number(2)),
            ("binary_format_minor_version", Item::Number(0)),
            ("build_epoch", Item::Number(1)),
            ("description", Item::Map(vec![("en", Item::Text("test"))])),
        ]);
        encode(&mut out, &metadata);
        out
    }
}

use mmdb::Item::{Flag, List, Map, Number, Text};

fn written(directory: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = directory.join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

fn nested() -> mmdb::Item {
    let names = |name| Map(vec![("de", Text("anders")), ("en", Text(name))]);
    Map(vec![
        ("city", Map(vec![("geoname_id", Number(2655045)), ("names", names("Boxford"))])),
        ("country", Map(vec![("iso_code", Text("GB")), ("names", names("United Kingdom"))])),
        (
            "subdivisions",
            List(vec![
                Map(vec![("iso_code", Text("ENG")), ("names", names("England"))]),
                Map(vec![("iso_code", Text("WBK")), ("names", names("West Berkshire"))]),
            ]),
        ),
        ("autonomous_system_number", Number(1221)),
        ("autonomous_system_organization", Text("Telstra Pty Ltd")),
        ("traits", Map(vec![("is_tor_exit_node", Flag(true)), ("user_type", Text("x"))])),
        ("is_hosting_provider", Flag(true)),
    ])
}

#[test]
fn nested_and_flat_files_fill_each_other() {
    let directory = tempfile::tempdir().unwrap();
    let address = 0xCB00_7100; // 203.0.113.0/24
    let nested = written(directory.path(), "nested.mmdb", &mmdb::file(4, address, 24, &nested()));
    let flat = Map(vec![
        ("country_code", Text("SE")),
        ("city", Text("Lund")),
        ("state1", Text("Skane")),
        ("asn", Text("AS64500")),
        ("as_name", Text("Example VPN AB")),
    ]);
    let flat = written(directory.path(), "flat.mmdb", &mmdb::file(4, address, 24, &flat));
    let ip: IpAddr = "203.0.113.77".parse().unwrap();

    let got = Network::open(&[&nested]).unwrap().locate(ip);
    assert_eq!(got.place.country.as_str(), "GB");
    assert_eq!((got.place.region.as_ref(), got.place.city.as_ref()), ("ENG", "Boxford"));
    assert_eq!((got.carrier.asn, got.carrier.organization.as_ref()), (1221, "Telstra Pty Ltd"));
    assert!(got.carrier.marks.hosting && got.carrier.marks.tor && !got.carrier.marks.vpn);
    assert_eq!(got.region(), Region::Uk);

    let got = Network::open(&[&flat]).unwrap().locate(ip);
    assert_eq!(got.place.country.as_str(), "SE");
    assert_eq!((got.place.region.as_ref(), got.place.city.as_ref()), ("Skane", "Lund"));
    assert_eq!((got.carrier.asn, got.carrier.organization.as_ref()), (64500, "Example VPN AB"));
    assert!(got.carrier.marks.vpn);

    // IPinfo Lite: `country` is a name there, and numbers are texts.
    let lite = Map(vec![
        ("country", Text("Sweden")),
        ("country_code", Text("SE")),
        ("continent", Text("Europe")),
        ("asn", Text("AS64501")),
        ("as_name", Text("Example")),
    ]);
    let lite = written(directory.path(), "lite.mmdb", &mmdb::file(4, address, 24, &lite));
    let got = Network::open(&[&lite]).unwrap().locate(ip);
    assert_eq!((got.place.country.as_str(), got.carrier.asn), ("SE", 64501));

    // The first file wins, a later one fills gaps; IPv6 does not trouble a file of IPv4.
    let both = Network::open(&[&flat, &nested]).unwrap();
    assert_eq!(both.locate(ip).place.country.as_str(), "SE");
    assert_eq!(both.locate("::ffff:203.0.113.77".parse().unwrap()), both.locate(ip));
    assert_eq!(both.locate("2001:db8::1".parse().unwrap()), Default::default());
    assert_eq!(both.locate("198.51.100.1".parse().unwrap()), Default::default());

    let six = mmdb::file(6, 0x2001_0DB8, 32, &nested2());
    let six = written(directory.path(), "six.mmdb", &six);
    let got = Network::open(&[&flat, &six]).unwrap().locate("2001:db8::1".parse().unwrap());
    assert_eq!((got.place.country.as_str(), got.region()), ("CH", Region::Switzerland));
}

/// A record of the registered country only, as networks without a place have.
fn nested2() -> mmdb::Item {
    Map(vec![("registered_country", Map(vec![("iso_code", Text("CH"))]))])
}

#[test]
fn damaged_files_are_refused_or_answer_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let whole = mmdb::file(4, 0xCB00_7100, 24, &nested());
    let ip: IpAddr = "203.0.113.77".parse().unwrap();
    for at in 0..whole.len() {
        for change in [0x01, 0x80, 0xFF] {
            let mut damaged = whole.clone();
            damaged[at] ^= change;
            let path = written(directory.path(), "damaged.mmdb", &damaged);
            if let Ok(network) = Network::open(&[&path]) {
                let _ = network.locate(ip);
            }
        }
    }
    for length in 0..whole.len() {
        let path = written(directory.path(), "short.mmdb", &whole[..length]);
        if let Ok(network) = Network::open(&[&path]) {
            let _ = network.locate(ip);
        }
    }
    let wrong = written(directory.path(), "table.csv", b"1.0.0.0,1.0.0.255,13335,X\nnonsense\n");
    let error = Network::open(&[&wrong]).err().unwrap().to_string();
    assert!(error.ends_with("line 2: expected start,end,number,name"), "{error}");
    assert!(Network::open(&[directory.path().join("missing.mmdb")]).is_err());
    assert!(Network::open(&[written(directory.path(), "x.txt", b"")]).is_err());
}

#[test]
fn tables_know_ranges_gaps_and_both_families() {
    let directory = tempfile::tempdir().unwrap();
    let csv = "start,end,asn,name\n\
        1.0.0.0,1.0.0.255,13335,\"Cloudflare, Inc.\"\n\
        1.0.4.0,1.0.7.255,38803,Gtelecom \"\"Pty\"\" Ltd\n\
        255.255.255.0,255.255.255.255,64496,Last\n\
        2001:200::,2001:200:ffff:ffff:ffff:ffff:ffff:ffff,2500,WIDE Project\n";
    let path = written(directory.path(), "asn.csv", csv.as_bytes());
    let enricher = Enricher::new(Network::open(&[&path]).unwrap());
    let of = |ip: &str| {
        let got = enricher.locate(&Address::new(ip.parse().unwrap())).carrier;
        (got.asn, got.organization.to_string())
    };
    assert_eq!(of("1.0.0.255"), (13335, "Cloudflare, Inc.".to_owned()));
    assert_eq!(of("1.0.4.0"), (38803, "Gtelecom \"Pty\" Ltd".to_owned()));
    assert_eq!(of("255.255.255.255").0, 64496);
    assert_eq!(of("2001:200::1").0, 2500);
    for nowhere in ["0.0.0.0", "1.0.1.0", "1.0.8.0", "255.255.254.255", "2001:201::", "::1"] {
        assert_eq!(of(nowhere), (0, String::new()), "{nowhere}");
    }
    assert_eq!(
        enricher.locate(&Address::new("1.0.0.1".parse().unwrap())).region(),
        Region::Unknown
    );
}
