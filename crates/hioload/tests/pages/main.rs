//! Pages that are generated say what the code does, and files that come with the product load.

mod limits;

use std::path::{Path, PathBuf};

use hioload::config::{ServerConfig, to_markdown};
use hioload_control::{Config, Sources};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The page as it is written, or written anew when the environment asks for it.
fn check(path: &str, page: &str) {
    let file = root().join(path);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&file, page).expect("a writable page");
    }
    let written = std::fs::read_to_string(&file).expect(path);
    assert!(
        written == page,
        "{path} is old: UPDATE_DOCS=1 cargo test -p hioload --test pages"
    );
}

#[test]
fn configuration_is_up_to_date() {
    check("docs/configuration.md", &to_markdown());
}

#[test]
fn limits_are_up_to_date() {
    check("docs/limits.md", &limits::to_markdown());
}

#[test]
fn the_example_on_the_page_loads() {
    let page = to_markdown();
    let (_, example) = page.split_once("```toml\n").expect("an example");
    let (example, _) = example.split_once("```").expect("its end");
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("toml");
    std::fs::write(&path, example).expect("a file");
    let config = Config::<ServerConfig>::load(Sources::new().file(path))
        .unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(config.current().channel.rules.len(), 2);
}

#[test]
fn the_file_of_the_conformance_run_loads() {
    let sources = Sources::new().file(root().join("conformance/echo.toml"));
    let config = Config::<ServerConfig>::load(sources).unwrap_or_else(|error| panic!("{error}"));
    let config = config.current();
    assert!(config.ws.deflate && config.settings().accept.deflate.is_some());
    assert!(config.settings().ws.message_size_max > 16 << 20);
}
