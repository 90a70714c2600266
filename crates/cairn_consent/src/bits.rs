//! Reading bits out of base64url text, six a character, most significant first.
//!
//! Guarantees: no read goes behind the end, none is silently padded.

use crate::{ConsentError, STRING_SIZE_BYTES_MAX};

/// Bits of a character.
const BITS_PER_CHARACTER: usize = 6;
/// Stands in [`VALUES`] for what is not of the alphabet.
const NO_VALUE: u8 = u8::MAX;
/// The value of each character.
const VALUES: [u8; 256] = values();

const fn values() -> [u8; 256] {
    let mut values = [NO_VALUE; 256];
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut value = 0_u8;
    while (value as usize) < alphabet.len() {
        values[alphabet[value as usize] as usize] = value;
        value += 1;
    }
    values
}

/// A text as bits, and the place of the next one.
#[derive(Clone, Debug)]
pub struct Bits<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Bits<'a> {
    /// Checks the text's length and alphabet.
    pub fn new(text: &'a str) -> Result<Self, ConsentError> {
        if text.is_empty() {
            return Err(ConsentError::Empty);
        }
        if text.len() > STRING_SIZE_BYTES_MAX {
            return Err(ConsentError::TooLong);
        }
        let text = text.as_bytes();
        match text.iter().all(|byte| VALUES[usize::from(*byte)] != NO_VALUE) {
            true => Ok(Bits { text, at: 0 }),
            false => Err(ConsentError::Character),
        }
    }

    /// All bits there are, read or not.
    pub fn size(&self) -> usize {
        self.text.len() * BITS_PER_CHARACTER
    }

    /// The next bit.
    pub fn bit(&mut self) -> Result<bool, ConsentError> {
        Ok(self.number(1)? == 1)
    }

    /// The next bits as a number; `count` is at most 64.
    pub fn number(&mut self, mut count: usize) -> Result<u64, ConsentError> {
        if count > self.size() - self.at {
            return Err(ConsentError::Truncated);
        }
        let mut number = 0;
        while count > 0 {
            let value = VALUES[usize::from(self.text[self.at / BITS_PER_CHARACTER])];
            let left = BITS_PER_CHARACTER - self.at % BITS_PER_CHARACTER;
            let taken = left.min(count);
            let bits = value >> (left - taken) & ((1 << taken) - 1);
            number = number << taken | u64::from(bits);
            self.at += taken;
            count -= taken;
        }
        Ok(number)
    }

    /// The next bits as a number below 256; `count` is at most 8.
    pub fn small(&mut self, count: usize) -> Result<u8, ConsentError> {
        u8::try_from(self.number(count)?).map_err(|_| ConsentError::Value)
    }

    /// The next bits as a number below 65,536; `count` is at most 16.
    pub fn medium(&mut self, count: usize) -> Result<u16, ConsentError> {
        u16::try_from(self.number(count)?).map_err(|_| ConsentError::Value)
    }

    /// The next bits as a set: the first stands for 1. `count` is at most 32.
    pub fn set(&mut self, count: usize) -> Result<NumberSet, ConsentError> {
        let written = u32::try_from(self.number(count)?).map_err(|_| ConsentError::Value)?;
        Ok(NumberSet(written.reverse_bits().checked_shr(32 - count as u32).unwrap_or(0)))
    }

    /// The next bits as flags, in their order.
    pub fn flags(&mut self, count: usize) -> Result<Vec<bool>, ConsentError> {
        (0..count).map(|_| self.bit()).collect()
    }

    /// Two letters, six bits each, `A` = 0.
    pub fn letters(&mut self) -> Result<[u8; 2], ConsentError> {
        let mut letters = [0; 2];
        for letter in &mut letters {
            let place = self.small(BITS_PER_CHARACTER)?;
            *letter = match place {
                0..26 => b'A' + place,
                _ => return Err(ConsentError::Value),
            };
        }
        Ok(letters)
    }

    /// A Fibonacci-coded number (GPP, "Fibonacci coding"): the last of its bits is a second 1 in a row.
    pub fn fibonacci(&mut self) -> Result<u64, ConsentError> {
        let (mut number, mut last) = (0_u64, false);
        let (mut term, mut next) = (1_u64, 2_u64);
        loop {
            let bit = self.bit()?;
            if bit && last {
                return Ok(number);
            }
            if bit {
                number = number.checked_add(term).ok_or(ConsentError::Range)?;
            }
            (term, next) = (next, term.checked_add(next).ok_or(ConsentError::Range)?);
            last = bit;
        }
    }

    /// Nothing but padding may be left.
    pub fn end(mut self) -> Result<(), ConsentError> {
        let started = self.size().min(self.at.next_multiple_of(BITS_PER_CHARACTER));
        let rest = &self.text[started / BITS_PER_CHARACTER..];
        match self.number(started - self.at)? == 0 && rest.iter().all(|byte| *byte == b'A') {
            true => Ok(()),
            false => Err(ConsentError::Trailing),
        }
    }
}

/// A set of the numbers 1 to 32: purposes, special features.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct NumberSet(u32);

impl NumberSet {
    /// Whether the number is in it.
    pub fn contains(self, number: u8) -> bool {
        (1..=32).contains(&number) && self.0 >> (number - 1) & 1 == 1
    }

    /// Whether all these numbers are in it.
    pub fn contains_all(self, numbers: &[u8]) -> bool {
        numbers.iter().all(|number| self.contains(*number))
    }

    /// Whether nothing is in it.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The numbers, ascending.
    pub fn iter(self) -> impl Iterator<Item = u8> {
        (1..=32).filter(move |number| self.contains(*number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn fibonacci_numbers_are_those_of_the_specification() {
        // 1 = 11, 2 = 011, 3 = 0011, 4 = 1011, 5 = 00011, 6 = 10011, 7 = 01011.
        for (bits, wanted) in [
            ("11", 1),
            ("011", 2),
            ("0011", 3),
            ("1011", 4),
            ("00011", 5),
            ("10011", 6),
            ("01011", 7),
        ] {
            let text = text_of(bits);
            assert_eq!(Bits::new(&text).unwrap().fibonacci(), Ok(wanted), "{bits}");
        }
        assert_eq!(Bits::new("AAAA").unwrap().fibonacci(), Err(ConsentError::Truncated));
        let endless = "A".repeat(STRING_SIZE_BYTES_MAX);
        assert_eq!(Bits::new(&endless).unwrap().fibonacci(), Err(ConsentError::Range));
    }

    fn text_of(bits: &str) -> String {
        const ALPHABET: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let characters: Vec<char> = bits.chars().collect();
        let character = |bits: &[char]| {
            let padded = bits.iter().chain(std::iter::repeat(&'0')).take(BITS_PER_CHARACTER);
            let value = padded.fold(0, |value, bit| value << 1 | usize::from(*bit == '1'));
            char::from(ALPHABET[value])
        };
        characters.chunks(BITS_PER_CHARACTER).map(character).collect()
    }

    proptest! {
        #[test]
        fn bits_read_back(bits in "[01]{1,200}") {
            let text = text_of(&bits);
            let mut reader = Bits::new(&text).unwrap();
            let read: String =
                bits.chars().map(|_| if reader.bit().unwrap() { '1' } else { '0' }).collect();
            prop_assert_eq!(read, bits);
            prop_assert_eq!(reader.end(), Ok(()));
        }

        #[test]
        fn other_alphabets_are_refused(before in "[A-Za-z0-9_-]{0,8}", bad in "[^A-Za-z0-9_-]") {
            let text = format!("{before}{bad}");
            prop_assert_eq!(Bits::new(&text).err(), Some(ConsentError::Character));
        }
    }
}
