//! Foreign clients against the server: Python's `websockets` and `requests`, curl and OpenSSL speak to `hioload`.

use crate::args::Args;
use crate::process::{command, hioload, run as run_command};
use crate::python;
use crate::stop::Outcome;

/// What is run: each is told the binary and the driver.
const SCRIPTS: &[&str] = &[
    "e2e/websockets_client.py",
    "e2e/blocks_client.py",
    "e2e/tls_client.py",
];

/// Runs the scripts on one driver or both.
pub(crate) fn run(mut args: Args) -> Outcome {
    let driver = args.value("--driver")?;
    let binary = args.value("--hioload")?;
    args.finish()?;
    let python = python::python3("e2e", "e2e/requirements.txt")?;
    let binary = hioload(binary)?;
    let drivers = driver.map_or_else(
        || vec!["uring".to_owned(), "poll".to_owned()],
        |one| vec![one],
    );
    for driver in &drivers {
        for script in SCRIPTS {
            run_command(
                command(python.join("bin/python"))
                    .arg(script)
                    .arg("--hioload")
                    .arg(&binary)
                    .args(["--driver", driver]),
            )?;
        }
    }
    Ok(())
}
