//! MMDB files of any schema: one record type takes the nested and the flat shapes alike.
//!
//! The reader trusts offsets inside the file and panics where a damaged file points outside of it;
//! that is caught here once, after which the file answers nothing. The reader holds no state to break.

use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use maxminddb::{Mmap, Reader};
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::marks::Marks;
use super::{Location, NetworkError};
use crate::region::Country;

/// One mapped file.
pub(super) struct Database {
    reader: Reader<Mmap>,
    takes_ipv6: bool,
    /// The reader stumbled over a damaged record: it is not asked again.
    is_damaged: AtomicBool,
}

impl Database {
    pub(super) fn open(path: &Path) -> Result<Self, NetworkError> {
        if let Err(source) = std::fs::File::open(path) {
            return Err(NetworkError::Read { path: path.to_owned(), source });
        }
        let damaged = |reason| NetworkError::Mmdb { path: path.to_owned(), reason };
        let reader = catch_unwind(|| Reader::open_mmap(path))
            .map_err(|_| damaged("its description cannot be read".to_owned()))?
            .map_err(|error| damaged(error.to_string()))?;
        let takes_ipv6 = reader.metadata.ip_version == 6;
        Ok(Self { reader, takes_ipv6, is_damaged: AtomicBool::new(false) })
    }

    /// Fills what is still empty; a file that does not know the address changes nothing.
    pub(super) fn fill(&self, ip: IpAddr, location: &mut Location) {
        if ip.is_ipv6() && !self.takes_ipv6 || self.is_damaged.load(Ordering::Relaxed) {
            return;
        }
        let lookup = AssertUnwindSafe(|| self.reader.lookup::<Record<'_>>(ip));
        match catch_unwind(lookup) {
            Ok(Ok(Some(record))) => record.fill(location),
            Ok(_) => {}
            Err(_) => self.is_damaged.store(true, Ordering::Relaxed),
        }
    }
}

/// The fields of every known schema that Cairn uses.
#[derive(Default)]
struct Record<'a> {
    country: &'a str,
    region: &'a str,
    city: &'a str,
    asn: u32,
    organization: &'a str,
    marks: Marks,
}

impl<'a> Record<'a> {
    /// Takes what MaxMind's Enterprise and Anonymous files write one level deeper.
    fn merge(&mut self, inner: &Record<'a>) {
        self.organization = either(self.organization, inner.organization);
        self.asn = if self.asn == 0 { inner.asn } else { self.asn };
        self.marks = self.marks | inner.marks;
    }

    fn fill(&self, location: &mut Location) {
        if location.place.country.is_unknown() {
            location.place.country = Country::new(self.country);
        }
        fill(&mut location.place.region, self.region);
        fill(&mut location.place.city, self.city);
        if location.carrier.asn == 0 {
            location.carrier.asn = self.asn;
        }
        fill(&mut location.carrier.organization, self.organization);
        location.carrier.marks = location.carrier.marks | self.marks;
    }
}

fn fill(field: &mut Arc<str>, value: &str) {
    if field.is_empty() && !value.is_empty() {
        *field = Arc::from(value);
    }
}

/// A value of any type, of which texts, numbers, flags and the names inside maps are kept.
#[derive(Default, Clone, Copy)]
struct Value<'a> {
    text: &'a str,
    number: u64,
    flag: bool,
    /// `iso_code` of a map.
    code: &'a str,
    /// `names.en` or `name` of a map.
    name: &'a str,
}

impl<'de: 'a, 'a> Deserialize<'de> for Record<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RecordVisitor)
    }
}

struct RecordVisitor;

impl<'de> Visitor<'de> for RecordVisitor {
    type Value = Record<'de>;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut record = Record::default();
        let mut registered = "";
        while let Some(key) = map.next_key::<&str>()? {
            if key == "traits" {
                record.merge(&map.next_value()?);
                continue;
            }
            let value: Value<'de> = map.next_value()?;
            match key {
                "country" => record.country = either(value.code, value.text),
                "country_code" => record.country = value.text,
                "registered_country" => registered = value.code,
                "subdivisions" => record.region = either(value.code, value.name),
                "region" | "state1" | "region_name" => {
                    record.region = either(record.region, either(value.code, value.text));
                }
                "city" => record.city = either(value.name, value.text),
                "autonomous_system_number" => record.asn = to_asn(value),
                "asn" => record.asn = to_asn(value),
                "autonomous_system_organization" | "as_name" | "organization" | "isp" => {
                    record.organization = either(record.organization, value.text);
                }
                "is_hosting_provider" | "hosting" => record.marks.hosting |= value.flag,
                "is_anonymous_vpn" | "vpn" => record.marks.vpn |= value.flag,
                "is_tor_exit_node" | "tor" => record.marks.tor |= value.flag,
                "is_public_proxy" | "is_residential_proxy" | "proxy" => {
                    record.marks.proxy |= value.flag;
                }
                "type" | "as_type" => record.marks.hosting |= value.text == "hosting",
                _ => {}
            }
        }
        // IPinfo Lite writes the country's name in `country` and its code in `country_code`.
        if record.country.len() != 2 {
            record.country = registered;
        }
        Ok(record)
    }
}

fn either<'a>(first: &'a str, second: &'a str) -> &'a str {
    if first.is_empty() { second } else { first }
}

/// A number, or a text such as `AS7018`.
fn to_asn(value: Value<'_>) -> u32 {
    let digits = value.text.trim_start_matches(['A', 'S', 'a', 's']);
    digits.parse().unwrap_or_else(|_| u32::try_from(value.number).unwrap_or(0))
}

impl<'de: 'a, 'a> Deserialize<'de> for Value<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value<'de>;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("any value")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Value { text, flag: text == "true", ..Value::default() })
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Self::Value, E> {
        Ok(Value { flag, ..Value::default() })
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Value { number, ..Value::default() })
    }

    fn visit_u32<E>(self, number: u32) -> Result<Self::Value, E> {
        Ok(Value { number: u64::from(number), ..Value::default() })
    }

    fn visit_u16<E>(self, number: u16) -> Result<Self::Value, E> {
        Ok(Value { number: u64::from(number), ..Value::default() })
    }

    fn visit_u128<E>(self, _: u128) -> Result<Self::Value, E> {
        Ok(Value::default())
    }

    fn visit_i32<E>(self, _: i32) -> Result<Self::Value, E> {
        Ok(Value::default())
    }

    fn visit_f32<E>(self, _: f32) -> Result<Self::Value, E> {
        Ok(Value::default())
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Value::default())
    }

    fn visit_bytes<E>(self, _: &[u8]) -> Result<Self::Value, E> {
        Ok(Value::default())
    }

    /// Of a list the first member counts: of subdivisions that is the largest.
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let first = list.next_element::<Value<'de>>()?.unwrap_or_default();
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(first)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = Value::default();
        while let Some(key) = map.next_key::<&str>()? {
            match key {
                "iso_code" => found.code = map.next_value::<Value<'de>>()?.text,
                "names" => found.name = map.next_value::<Value<'de>>()?.name,
                "en" | "name" => found.name = map.next_value::<Value<'de>>()?.text,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(found)
    }
}
