//! Patterns of `matches`: the part of RE2's syntax that means the same to RE2 and to Rust's engine.
//!
//! Guarantees: a [`Pattern`] compiles in both within a bounded size. What only one of them knows (set operations,
//! look-around, back references, repetition above 1000) is refused with its place. RE2 reads `\d`, `\s`, `\w` and
//! `\b` as ASCII, Rust as Unicode; here they are ASCII.

use regex::bytes::{Regex, RegexBuilder};
use regex_syntax::ast::{self, Ast, Visitor, parse::ParserBuilder};

/// Longest pattern, bytes.
pub const PATTERN_SIZE_BYTES_MAX: usize = 1_000;
/// Largest compiled pattern, bytes: well under RE2's own bound.
const COMPILED_SIZE_BYTES_MAX: usize = 256 * 1024;
/// RE2's bound of counted repetition.
const REPETITION_MAX: u32 = 1_000;
/// Depth of nested groups.
const NESTING_MAX: u32 = 50;

/// A checked regular expression.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: String,
    regex: Regex,
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Pattern {}

impl Pattern {
    /// Checks and compiles; the error says what is wrong in one line.
    pub fn parse(text: &str) -> Result<Pattern, String> {
        if text.len() > PATTERN_SIZE_BYTES_MAX {
            return Err(format!("a pattern has at most {PATTERN_SIZE_BYTES_MAX} bytes"));
        }
        let tree =
            ParserBuilder::new().nest_limit(NESTING_MAX).build().parse(text).map_err(|error| {
                format!("{} at character {}", error.kind(), error.span().start.column)
            })?;
        let ascii = ast::visit(&tree, AsciiClasses { source: text, edits: Vec::new() })?;
        let regex = RegexBuilder::new(&ascii)
            .size_limit(COMPILED_SIZE_BYTES_MAX)
            .build()
            .map_err(|_| "the pattern is too large, or uses what RE2 does not know".to_owned())?;
        Ok(Pattern { text: text.to_owned(), regex })
    }

    /// The pattern as it was written: RE2 syntax.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it is found anywhere in the text.
    pub fn is_found_in(&self, value: &str) -> bool {
        self.regex.is_match(value.as_bytes())
    }
}

/// Collects where the Rust form must differ from the RE2 form, and refuses what RE2 does not know.
struct AsciiClasses<'a> {
    source: &'a str,
    edits: Vec<(usize, usize, String)>,
}

impl AsciiClasses<'_> {
    fn replace(&mut self, span: &ast::Span, text: impl Into<String>) {
        self.edits.push((span.start.offset, span.end.offset, text.into()));
    }

    fn perl(&mut self, class: &ast::ClassPerl) {
        let inner = match class.kind {
            ast::ClassPerlKind::Digit => "[:digit:]",
            ast::ClassPerlKind::Space => "\\t\\n\\x0C\\r ",
            ast::ClassPerlKind::Word => "[:word:]",
        };
        let caret = if class.negated { "^" } else { "" };
        // A class within a class is the Rust form only: RE2 gets the original.
        self.replace(&class.span, format!("[{caret}{inner}]"));
    }
}

impl Visitor for AsciiClasses<'_> {
    type Output = String;
    type Err = String;

    fn finish(mut self) -> Result<String, String> {
        self.edits.sort();
        let mut out = String::with_capacity(self.source.len() + 32);
        let mut done = 0;
        for (start, end, text) in &self.edits {
            out.push_str(self.source.get(done..*start).unwrap_or_default());
            out.push_str(text);
            done = *end;
        }
        out.push_str(self.source.get(done..).unwrap_or_default());
        Ok(out)
    }

    fn visit_pre(&mut self, tree: &Ast) -> Result<(), String> {
        match tree {
            Ast::ClassPerl(class) => self.perl(class),
            Ast::Assertion(assertion) => match assertion.kind {
                ast::AssertionKind::WordBoundary => self.replace(&assertion.span, "(?-u:\\b)"),
                ast::AssertionKind::NotWordBoundary => self.replace(&assertion.span, "(?-u:\\B)"),
                ast::AssertionKind::StartLine
                | ast::AssertionKind::EndLine
                | ast::AssertionKind::StartText
                | ast::AssertionKind::EndText => {}
                _ => return Err("this kind of word boundary is not part of RE2".to_owned()),
            },
            Ast::Repetition(repetition) => {
                if let ast::RepetitionKind::Range(range) = &repetition.op.kind {
                    let most = match range {
                        ast::RepetitionRange::Exactly(n) | ast::RepetitionRange::AtLeast(n) => *n,
                        ast::RepetitionRange::Bounded(_, n) => *n,
                    };
                    if most > REPETITION_MAX {
                        return Err(format!("a repetition counts to at most {REPETITION_MAX}"));
                    }
                }
                if matches!(*repetition.ast, Ast::Repetition(_)) {
                    return Err("a repetition of a repetition needs parentheses".to_owned());
                }
            }
            Ast::Flags(flags) => allowed_flags(&flags.flags)?,
            Ast::Group(group) => {
                if let ast::GroupKind::NonCapturing(flags) = &group.kind {
                    allowed_flags(flags)?;
                }
            }
            Ast::ClassUnicode(class) => unicode_class(class)?,
            Ast::Literal(literal) => plain_literal(literal)?,
            _ => {}
        }
        Ok(())
    }

    fn visit_class_set_item_pre(&mut self, item: &ast::ClassSetItem) -> Result<(), String> {
        match item {
            ast::ClassSetItem::Perl(class) => self.perl(class),
            ast::ClassSetItem::Bracketed(_) => {
                return Err("a class within a class is not part of RE2".to_owned());
            }
            ast::ClassSetItem::Unicode(class) => unicode_class(class)?,
            ast::ClassSetItem::Literal(literal) => plain_literal(literal)?,
            _ => {}
        }
        Ok(())
    }

    fn visit_class_set_binary_op_pre(&mut self, _: &ast::ClassSetBinaryOp) -> Result<(), String> {
        Err("operations on classes are not part of RE2".to_owned())
    }
}

fn allowed_flags(flags: &ast::Flags) -> Result<(), String> {
    let known = |flag: &ast::Flag| {
        matches!(
            flag,
            ast::Flag::CaseInsensitive
                | ast::Flag::MultiLine
                | ast::Flag::DotMatchesNewLine
                | ast::Flag::SwapGreed
        )
    };
    let all_known = flags.items.iter().all(|item| match &item.kind {
        ast::FlagsItemKind::Negation => true,
        ast::FlagsItemKind::Flag(flag) => known(flag),
    });
    if all_known { Ok(()) } else { Err("only the flags i, m, s and U are part of RE2".to_owned()) }
}

fn unicode_class(class: &ast::ClassUnicode) -> Result<(), String> {
    // RE2 knows `\pL` and `\p{Greek}`, neither `\p{name=value}` nor long names such as `\p{Letter}`.
    let short = match &class.kind {
        ast::ClassUnicodeKind::OneLetter(_) => true,
        ast::ClassUnicodeKind::Named(name) => name.len() == 2,
        ast::ClassUnicodeKind::NamedValue { .. } => false,
    };
    if short {
        Ok(())
    } else {
        Err("write Unicode classes by their short name, as \\p{Lu}".to_owned())
    }
}

fn plain_literal(literal: &ast::Literal) -> Result<(), String> {
    match literal.kind {
        ast::LiteralKind::HexFixed(ast::HexLiteralKind::UnicodeShort)
        | ast::LiteralKind::HexFixed(ast::HexLiteralKind::UnicodeLong)
        | ast::LiteralKind::HexBrace(
            ast::HexLiteralKind::UnicodeShort | ast::HexLiteralKind::UnicodeLong,
        ) => Err("write characters by their number as \\x{00E9}".to_owned()),
        _ => Ok(()),
    }
}
