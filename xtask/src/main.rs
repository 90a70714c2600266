//! Development tasks: `cargo xtask gen` writes what is generated (docs/config.md).

use std::process::ExitCode;

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some("gen") => match xtask::write_configuration_reference() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("docs/config.md cannot be written: {error}");
                ExitCode::FAILURE
            }
        },
        _ => {
            eprintln!("usage: cargo xtask gen");
            ExitCode::FAILURE
        }
    }
}
