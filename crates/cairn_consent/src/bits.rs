//! Reading bits out of base64url text, six a character, most significant first.
//!
//! Guarantees: no read goes behind the end, none is silently padded.

use crate::{ConsentError, STRING_SIZE_BYTES_MAX};

/// Bits of a character.
const BITS_PER_CHARACTER: usize = 6;

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
        match text.iter().all(|byte| value_of(*byte).is_some()) {
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
        let byte = self.text.get(self.at / BITS_PER_CHARACTER).ok_or(ConsentError::Truncated)?;
        let value = value_of(*byte).ok_or(ConsentError::Character)?;
        let bit = value >> (BITS_PER_CHARACTER - 1 - self.at % BITS_PER_CHARACTER) & 1;
        self.at += 1;
        Ok(bit == 1)
    }

    /// The next bits as a number; `count` is at most 64.
    pub fn number(&mut self, count: usize) -> Result<u64, ConsentError> {
        let mut number = 0;
        for _ in 0..count {
            number = number << 1 | u64::from(self.bit()?);
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
        let mut set = NumberSet::default();
        for number in 0..count {
            if self.bit()? {
                set.0 |= 1 << number;
            }
        }
        Ok(set)
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
        while self.at < self.size() {
            if self.bit()? {
                return Err(ConsentError::Trailing);
            }
        }
        Ok(())
    }
}

fn value_of(byte: u8) -> Option<u8> {
    Some(match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'-' => 62,
        b'_' => 63,
        _ => return None,
    })
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
