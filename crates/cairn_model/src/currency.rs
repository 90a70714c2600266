//! Currencies and the decimals of their minor units: the one table of ISO 4217.
//!
//! Guarantees: whoever stores, adds or shows amounts reads the same decimals. It converts nothing.

/// A currency of ISO 4217.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Currency {
    /// The code, upper case.
    pub code: &'static str,
    /// Decimal places of its minor unit.
    pub decimals: u8,
}

/// Codes with two decimals, the rule of ISO 4217.
const TWO: &str = "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BOV BRL BSD \
    BTN BWP BYN BZD CAD CDF CHE CHF CHW CNY COP COU CRC CUC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR \
    FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HRK HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD \
    KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO \
    NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SLL SOS SRD \
    SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XCD XCG YER \
    ZAR ZMW ZWG ZWL";
/// Codes without a minor unit.
const NONE: &str = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF";
/// Codes with three decimals.
const THREE: &str = "BHD IQD JOD KWD LYD OMR TND";
/// Codes with four decimals.
const FOUR: &str = "CLF UYW";

impl Currency {
    /// The currency of this code, in any case.
    pub fn from_code(code: &str) -> Option<Currency> {
        if code.len() != 3 {
            return None;
        }
        [(TWO, 2), (NONE, 0), (THREE, 3), (FOUR, 4)].into_iter().find_map(|(codes, decimals)| {
            let code = codes.split(' ').find(|known| known.eq_ignore_ascii_case(code))?;
            Some(Currency { code, decimals })
        })
    }
}

/// Decimal places of a currency's minor unit, in which amounts are stored; two where the code is unknown.
pub fn minor_unit_decimals(code: &str) -> u32 {
    Currency::from_code(code).map_or(2, |currency| u32::from(currency.decimals))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_there_once() {
        let lists = [TWO, NONE, THREE, FOUR].map(|codes| codes.split(' ').collect::<Vec<_>>());
        let mut codes = lists.concat();
        let count = codes.len();
        assert!(codes.iter().all(|code| {
            code.len() == 3 && code.bytes().all(|letter| letter.is_ascii_uppercase())
        }));
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), count, "a code has one number of decimals");
    }

    #[test]
    fn reports_divide_by_what_collection_multiplied_with() {
        for (code, decimals) in [("EUR", 2), ("JPY", 0), ("jpy", 0), ("KWD", 3), ("CLF", 4)] {
            let read = Currency::from_code(code).map(|currency| currency.decimals);
            assert_eq!(read, Some(decimals), "{code}");
            assert_eq!(minor_unit_decimals(code), u32::from(decimals), "{code}");
            let one = 10_i128.pow(u32::from(decimals));
            assert_eq!(crate::question::revenue::thousandths(one, code, 1), 1000, "{code}");
        }
        for none in ["EURO", "XXX", ""] {
            assert_eq!(Currency::from_code(none), None);
        }
        assert_eq!(minor_unit_decimals("???"), 2);
    }
}
