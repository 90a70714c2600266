//! What is generated, and where the tree lies.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// The root of the checkout.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_owned).unwrap_or_default()
}

/// The configuration reference, from the comments of `config.default.toml`.
pub fn configuration_reference(defaults: &str) -> String {
    let mut page = String::from(
        "# Configuration\n\nGenerated from `config.default.toml` by `cargo xtask gen`.\n",
    );
    let mut section = String::new();
    let mut comment = String::new();
    for line in defaults.lines() {
        if let Some(text) = line.strip_prefix('#') {
            let _ = write!(comment, "{}{}", if comment.is_empty() { "" } else { " " }, text.trim());
        } else if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            name.clone_into(&mut section);
            let _ = write!(
                page,
                "\n## {section}\n\n| key | default | environment | meaning |\n|---|---|---|---|\n"
            );
            comment.clear();
        } else if let Some((key, value)) = line.split_once(" = ") {
            let variable = format!("CAIRN_{}__{}", section.to_uppercase(), key.to_uppercase());
            let _ = writeln!(page, "| `{section}.{key}` | `{value}` | `{variable}` | {comment} |");
            comment.clear();
        } else if section.is_empty() && !comment.is_empty() {
            let _ = write!(page, "\n{comment}\n");
            comment.clear();
        }
    }
    page
}

/// Writes docs/config.md.
pub fn write_configuration_reference() -> std::io::Result<()> {
    let defaults = std::fs::read_to_string(root().join("config.default.toml"))?;
    std::fs::write(root().join("docs/config.md"), configuration_reference(&defaults))
}
