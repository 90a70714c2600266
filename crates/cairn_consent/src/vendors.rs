//! Sets of vendor ids, in the encodings of TCF (bit field or list of 16-bit ranges) and of GPP (bit
//! field or Fibonacci-coded ranges).
//!
//! Guarantees: ids are 1 to 65,535, ranges run forwards; memory follows the text's length, not the
//! ranges'.

use crate::ConsentError;
use crate::bits::Bits;

/// Vendor ids as ascending ranges that neither touch nor overlap.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct VendorSet(Vec<(u16, u16)>);

/// How ranges are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Coding {
    /// Start and end, 16 bits each (TCF).
    Fixed,
    /// Distances, Fibonacci-coded (GPP).
    Fibonacci,
}

impl VendorSet {
    /// Reads `MaxVendorId` (16), `IsRangeEncoding` (1) and a bit field or a list of ranges.
    pub fn read(bits: &mut Bits<'_>, coding: Coding) -> Result<Self, ConsentError> {
        Ok(Self::read_with_maximum(bits, coding)?.0)
    }

    /// The same with `MaxVendorId`.
    pub fn read_with_maximum(
        bits: &mut Bits<'_>,
        coding: Coding,
    ) -> Result<(Self, u16), ConsentError> {
        let maximum = bits.medium(16)?;
        if bits.bit()? {
            return Ok((Self::read_ranges(bits, coding)?, maximum));
        }
        Ok((Self::read_field(bits, maximum)?, maximum))
    }

    fn read_field(bits: &mut Bits<'_>, maximum: u16) -> Result<Self, ConsentError> {
        let mut set = VendorSet::default();
        let mut before = 0;
        while before < maximum {
            // Bits at once: most vendors are alike.
            let count = (maximum - before).min(32);
            let mut field = bits.number(usize::from(count))? << (64 - u32::from(count));
            let mut place = 0;
            while field != 0 {
                let silent = field.leading_zeros();
                let agreed = (field << silent).leading_ones();
                place += silent;
                set.add_behind(before + place as u16 + 1, before + (place + agreed) as u16);
                place += agreed;
                field = field.checked_shl(silent + agreed).unwrap_or(0);
            }
            before += count;
        }
        Ok(set)
    }

    /// Adds a range that begins behind all that are there.
    fn add_behind(&mut self, start: u16, end: u16) {
        match self.0.last_mut() {
            Some((_, last)) if *last + 1 == start => *last = end,
            _ => self.0.push((start, end)),
        }
    }

    /// Reads `NumEntries` (12) and that many ids or ranges.
    pub fn read_ranges(bits: &mut Bits<'_>, coding: Coding) -> Result<Self, ConsentError> {
        let mut set = VendorSet::default();
        let mut last = 0;
        for _ in 0..bits.number(12)? {
            let is_range = bits.bit()?;
            let start = id(bits, coding, last)?;
            let end = if is_range { id(bits, coding, start)? } else { start };
            if start == 0 || end < start {
                return Err(ConsentError::Range);
            }
            set.0.push((start, end));
            last = end;
        }
        Ok(set.normal())
    }

    fn normal(mut self) -> Self {
        self.0.sort_unstable();
        self.0.dedup_by(|next, before| {
            let touches = u32::from(next.0) <= u32::from(before.1) + 1;
            if touches {
                before.1 = before.1.max(next.1);
            }
            touches
        });
        self
    }

    /// Whether a vendor is in it.
    pub fn contains(&self, vendor: u16) -> bool {
        let after = self.0.partition_point(|(start, _)| *start <= vendor);
        after > 0 && self.0[after - 1].1 >= vendor
    }

    /// The largest id; `None` if there is none.
    pub fn maximum(&self) -> Option<u16> {
        self.0.last().map(|(_, end)| *end)
    }

    /// The ids, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u16> {
        self.0.iter().flat_map(|(start, end)| *start..=*end)
    }
}

fn id(bits: &mut Bits<'_>, coding: Coding, last: u16) -> Result<u16, ConsentError> {
    match coding {
        Coding::Fixed => bits.medium(16),
        Coding::Fibonacci => {
            let sum = bits.fibonacci()?.checked_add(u64::from(last)).ok_or(ConsentError::Range)?;
            u16::try_from(sum).map_err(|_| ConsentError::Range)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn ranges_are_the_ids_they_name(ranges in proptest::collection::vec((1..500_u16, 0..40_u16), 0..20)) {
            let ranges: Vec<_> = ranges.iter().map(|(start, size)| (*start, start + size)).collect();
            let set = VendorSet(ranges.clone()).normal();
            for vendor in 0..600 {
                let wanted = ranges.iter().any(|(start, end)| (*start..=*end).contains(&vendor));
                prop_assert_eq!(set.contains(vendor), wanted);
            }
            let listed: Vec<_> = set.iter().collect();
            prop_assert!(listed.windows(2).all(|pair| pair[0] < pair[1]));
            prop_assert_eq!(listed.last().copied(), set.maximum());
        }
    }
}
