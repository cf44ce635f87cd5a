//! `hioload bench`: where the report goes.

use std::io::Write as _;
use std::process::ExitCode;

use super::exit;
use crate::bench::{self, Options};

/// Runs a bench and writes its report.
pub(crate) fn run(options: &Options) -> ExitCode {
    let report = match bench::run(options) {
        Ok(report) => report,
        Err(error) if error.is_usage => return exit::usage(&error),
        Err(error) => return exit::failure(&error),
    };
    let json = report.to_json();
    let mut stdout = std::io::stdout();
    let written = match &options.json {
        Some(path) if path.as_os_str() == "-" => writeln!(stdout, "{json}"),
        Some(path) => std::fs::write(path, json + "\n").and_then(|()| write!(stdout, "{report}")),
        None => write!(stdout, "{report}"),
    };
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => exit::failure(&format!("cannot write the report: {error}")),
    }
}
