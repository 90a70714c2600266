//! A CSV file as rows of cells with the numbers of their lines.

use csv::{ReaderBuilder, StringRecord};

use super::Faults;

/// Largest file that is read.
pub const FILE_SIZE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Rows of one file.
pub const ROWS_MAX: usize = 200_000;
/// Columns of one file.
const COLUMNS_MAX: usize = 200;
/// Lines before the names of columns that are looked through: exports of some advertisers begin with a title.
const TITLES_MAX: usize = 10;

/// A row with the line that it begins in.
pub(super) struct Line {
    pub(super) number: u64,
    pub(super) cells: StringRecord,
}

/// A file with names of columns.
pub(super) struct Table {
    pub(super) header: Vec<String>,
    pub(super) lines: Vec<Line>,
}

/// The letter that parts cells: the one that the line has most of.
fn delimiter(line: &str) -> u8 {
    let count = |mark: u8| line.bytes().filter(|byte| *byte == mark).count();
    let marks = [b',', b';', b'\t'];
    marks.into_iter().rev().max_by_key(|mark| count(*mark)).unwrap_or(b',')
}

/// Small letters, without what is around them and without the words' joints.
pub(super) fn plain(name: &str) -> String {
    let name = name.trim().to_lowercase();
    name.chars().map(|letter| if "_-".contains(letter) { ' ' } else { letter }).collect()
}

impl Table {
    /// Reads a file whose names of columns are in the first line that `is_header` accepts.
    pub(super) fn read(text: &str, is_header: impl Fn(&[String]) -> bool) -> Result<Table, Faults> {
        if text.len() > FILE_SIZE_BYTES_MAX {
            let most = FILE_SIZE_BYTES_MAX >> 20;
            return Err(Faults::of_file(format!("the file is larger than {most} MiB")));
        }
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let candidates: Vec<&str> = text.lines().take(TITLES_MAX).collect();
        let mut wrong = None;
        for (skipped, line) in candidates.iter().enumerate() {
            let mark = delimiter(line);
            let header = cells(line, mark);
            if header.len() <= COLUMNS_MAX && is_header(&header) {
                // The line is a piece of the text: its place is how far apart the two begin.
                let start = line.as_ptr() as usize - text.as_ptr() as usize;
                let body = text.get(start..).unwrap_or_default();
                return Table::with_header(body, mark, skipped as u64);
            }
            wrong.get_or_insert(header);
        }
        let found = wrong.unwrap_or_default().join("\", \"");
        Err(Faults::of_file(format!(
            "no line has the names of the columns; the first has \"{found}\""
        )))
    }

    fn with_header(text: &str, mark: u8, skipped: u64) -> Result<Table, Faults> {
        let mut reader = ReaderBuilder::new().delimiter(mark).from_reader(text.as_bytes());
        let (mut faults, mut lines) = (Faults::default(), Vec::new());
        let header = match reader.headers() {
            Ok(header) => header.iter().map(|name| name.trim().to_owned()).collect(),
            Err(error) => return Err(Faults::of_file(told(&error))),
        };
        for record in reader.records() {
            match record {
                Ok(cells) => {
                    let number = skipped + cells.position().map_or(0, |place| line_of(text, place));
                    if lines.len() == ROWS_MAX {
                        let most = format!("the file has more than {ROWS_MAX} rows");
                        return Err(Faults::of_file(most));
                    }
                    lines.push(Line { number, cells });
                }
                Err(error) => {
                    let number = error.position().map_or(0, |place| skipped + place.line());
                    faults.add(number, "", told(&error));
                }
            }
        }
        if faults.count > 0 { Err(faults) } else { Ok(Table { header, lines }) }
    }
}

/// The line that a record begins in: empty lines before it are not its own.
fn line_of(text: &str, place: &csv::Position) -> u64 {
    let at = usize::try_from(place.byte()).unwrap_or(usize::MAX);
    let rest = text.as_bytes().get(at..).unwrap_or_default();
    let ends = rest.iter().take_while(|byte| matches!(byte, b'\r' | b'\n'));
    place.line() + ends.filter(|byte| **byte == b'\n').count() as u64
}

fn cells(line: &str, mark: u8) -> Vec<String> {
    let mut reader =
        ReaderBuilder::new().delimiter(mark).has_headers(false).from_reader(line.as_bytes());
    let record = reader.records().next().and_then(Result::ok).unwrap_or_default();
    record.iter().map(|cell| cell.trim().to_owned()).collect()
}

fn told(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("the line has {len} cells, and there are {expected_len} columns")
        }
        csv::ErrorKind::Utf8 { .. } => "the line is not UTF-8".to_owned(),
        _ => "the line cannot be read".to_owned(),
    }
}
