//! Gathers the built dashboard, the tracker and the demo shop into one table of embedded files.

use std::collections::hash_map::DefaultHasher;
use std::fmt::Write as _;
use std::hash::Hasher;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// Files smaller than this gain nothing from compression.
const PACKED_SIZE_BYTES_MIN: usize = 512;
/// The file that every visitor of every page loads: it is packed as small as it can be.
const TRACKER: &str = "cairn.js";
/// The parts that it loads where a pixel's settings ask for them.
const PARTS: &str = "cairn/";
/// How the tracker ends: a call with settings, in whose place the server writes those of a pixel.
const NO_SETTINGS: &[u8] = b"({})";
/// Best quality, and the widest window that every decoder takes.
const BROTLI_QUALITY: i32 = 11;
const BROTLI_WINDOW_BITS: i32 = 22;

fn main() -> io::Result<()> {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default()).join("../..");
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    println!("cargo::rerun-if-changed=build.rs");
    let mut table = String::from("&[\n");
    fs::write(out.join("tracker.rs"), tracker(&root, &out)?)?;
    // Tracker before dashboard: the order decides nothing, but a fixed one makes builds repeatable.
    for (folder, prefix) in [("tracker/dist", ""), ("dashboard/dist", ""), ("demo/site", "demo/")] {
        let folder = root.join(folder);
        // Cargo takes a watched path that is missing as always changed.
        fs::create_dir_all(&folder)?;
        println!("cargo::rerun-if-changed={}", folder.display());
        let mut files = Vec::new();
        collect(&folder, &mut files)?;
        files.sort();
        for file in files {
            let name =
                file.strip_prefix(&folder).unwrap_or(&file).to_string_lossy().replace('\\', "/");
            add(&mut table, &out, &file, &format!("{prefix}{name}"))?;
        }
    }
    table.push(']');
    fs::write(out.join("assets.rs"), table)
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if name.to_string_lossy().starts_with('.') {
            continue;
        }
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), files)?;
        } else if name != TRACKER && content_type(&entry.path()).is_some() {
            files.push(entry.path());
        }
    }
    Ok(())
}

fn add(table: &mut String, out: &Path, file: &Path, name: &str) -> io::Result<()> {
    let bytes = fs::read(file)?;
    let Some((content_type, is_text)) = content_type(file) else { return Ok(()) };
    let mut hasher = DefaultHasher::new();
    hasher.write(&bytes);
    let tag = hasher.finish();
    let (mut gzip, mut brotli) = (String::from("None"), String::from("None"));
    if is_text && bytes.len() >= PACKED_SIZE_BYTES_MIN {
        let keep = |ending: &str, packed: &[u8]| {
            let path = out.join(format!("{tag:016x}.{ending}"));
            fs::write(&path, packed)?;
            Ok::<_, io::Error>(format!("Some(include_bytes!({:?}))", path.display().to_string()))
        };
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(&bytes)?;
        gzip = keep("gz", &encoder.finish()?)?;
        brotli = keep("br", &brotli_packed(&bytes)?)?;
    }
    // The bundlers put a hash of the content into the names of these.
    let immutable = name.starts_with("assets/") || name.starts_with(PARTS);
    let source = fs::canonicalize(file)?.display().to_string();
    let written = writeln!(
        table,
        "    Asset {{ path: {name:?}, content_type: {content_type:?}, bytes: include_bytes!({source:?}), \
         gzip: {gzip}, brotli: {brotli}, etag: \"\\\"{tag:016x}\\\"\", immutable: {immutable} }},"
    );
    written.map_err(io::Error::other)
}

/// The tracker without its settings, in forms that can be continued: each compressed stream ends at a byte, unfinished.
fn tracker(root: &Path, out: &Path) -> io::Result<String> {
    let Ok(bytes) = fs::read(root.join("tracker/dist").join(TRACKER)) else {
        return Ok(String::from("None"));
    };
    let Some(head) = bytes.strip_suffix(NO_SETTINGS) else {
        return Err(io::Error::other("the tracker does not end with its settings"));
    };
    let mut hasher = DefaultHasher::new();
    hasher.write(head);
    let tag = hasher.finish();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(head)?;
    gzip.flush()?;
    let parameters = brotli_parameters(head.len());
    let mut brotli = brotli::CompressorWriter::with_params(Vec::new(), 4096, &parameters);
    brotli.write_all(head)?;
    brotli.flush()?;
    let forms = [("js", head), ("js.gz", gzip.get_ref()), ("js.br", brotli.get_ref())];
    let mut included = Vec::new();
    for (ending, bytes) in forms {
        let path = out.join(format!("tracker-{tag:016x}.{ending}"));
        fs::write(&path, bytes)?;
        included.push(format!("include_bytes!({:?})", path.display().to_string()));
    }
    let [plain, gzip, brotli] = &included[..] else { return Ok(String::from("None")) };
    Ok(format!(
        "Some(Tracker {{ plain: {plain}, gzip: {gzip}, brotli: {brotli}, tag: \"{tag:016x}\" }})"
    ))
}

fn brotli_parameters(size: usize) -> brotli::enc::BrotliEncoderParams {
    brotli::enc::BrotliEncoderParams {
        quality: BROTLI_QUALITY,
        lgwin: BROTLI_WINDOW_BITS,
        size_hint: size,
        ..Default::default()
    }
}

fn brotli_packed(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut packed = Vec::new();
    brotli::BrotliCompress(&mut &bytes[..], &mut packed, &brotli_parameters(bytes.len()))?;
    Ok(packed)
}

/// Media type, and whether compression pays. Other files are not embedded.
fn content_type(file: &Path) -> Option<(&'static str, bool)> {
    Some(match file.extension()?.to_str()? {
        "html" => ("text/html; charset=utf-8", true),
        "js" => ("text/javascript; charset=utf-8", true),
        "css" => ("text/css; charset=utf-8", true),
        "svg" => ("image/svg+xml", true),
        "json" | "webmanifest" => ("application/json", true),
        "txt" => ("text/plain; charset=utf-8", true),
        "png" => ("image/png", false),
        "jpg" | "jpeg" => ("image/jpeg", false),
        "webp" => ("image/webp", false),
        "ico" => ("image/x-icon", false),
        "woff2" => ("font/woff2", false),
        _ => return None,
    })
}
