//! Cells of CSV files (RFC 4180) that are safe to open in a spreadsheet.

/// First signs that make a cell a formula in some spreadsheet; the wide ones in those of East Asia.
const FORMULA_SIGNS: [char; 11] =
    ['=', '+', '-', '@', '\t', '\r', '\n', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}'];

/// A text that came from outside: quoted where it has to be, and never a formula.
pub fn cell(text: &str) -> String {
    let mark = if text.starts_with(FORMULA_SIGNS) { "'" } else { "" };
    if mark.is_empty() && !text.contains([',', '"', '\n', '\r']) {
        return text.to_owned();
    }
    format!("\"{mark}{}\"", text.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::cell;

    #[test]
    fn cells_are_quoted_and_no_formulas() {
        for (text, wanted) in [
            ("a", "a"),
            ("a,b", "\"a,b\""),
            ("\"", "\"\"\"\""),
            ("=1+1", "\"'=1+1\""),
            ("-2", "\"'-2\""),
            ("@SUM(A1)", "\"'@SUM(A1)\""),
            ("\t=1", "\"'\t=1\""),
            ("\u{ff1d}1", "\"'\u{ff1d}1\""),
            ("two\nlines", "\"two\nlines\""),
        ] {
            assert_eq!(cell(text), wanted);
        }
    }
}
