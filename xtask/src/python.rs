//! Python environments in the target directory: made once, reused while their requirements stay.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::process::{command, output, root, run, target_dir};
use crate::stop::{Outcome, Stop};

/// Last virtualenv that still makes environments for Python 2.7.
const VIRTUALENV: &str = "virtualenv==20.15.1";

/// An environment for the current Python with what `requirements` names.
pub(crate) fn python3(name: &str, requirements: &str) -> Outcome<PathBuf> {
    let Some(python) = interpreter(&["python3"], "3") else {
        return Err(Stop::Skipped(
            "no python3: install Debian's python3-venv".to_owned(),
        ));
    };
    environment(name, requirements, |path| {
        run(command(&python).args(["-m", "venv", "--clear"]).arg(path))
    })
}

/// An environment for Python 2.7, which Autobahn's suite still needs.
pub(crate) fn python27(name: &str, requirements: &str) -> Outcome<PathBuf> {
    let Some(python) = interpreter(&["python2.7", "python2"], "2.7") else {
        return Err(Stop::Skipped(
            "Python 2.7 is missing, which Autobahn's test suite needs: \
             `pyenv install 2.7.18` makes it"
                .to_owned(),
        ));
    };
    environment(name, requirements, |path| {
        let tool = path.with_extension("virtualenv");
        run(command(&python)
            .args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
            ])
            .arg("--target")
            .arg(&tool)
            .args(["--upgrade", VIRTUALENV]))?;
        run(command(&python)
            .args(["-m", "virtualenv", "--quiet", "--clear"])
            .arg(path)
            .env("PYTHONPATH", &tool))
    })
}

/// Makes the environment with `create` unless one with the same requirements is there.
fn environment(
    name: &str,
    requirements: &str,
    create: impl FnOnce(&Path) -> Outcome,
) -> Outcome<PathBuf> {
    let path = target_dir().join("python").join(name);
    let requirements = root().join(requirements);
    let wanted = read(&requirements)?;
    // Written last, so that an environment that broke off half-way is made again.
    let stamp = path.join("requirements.installed");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(path);
    }
    fs::create_dir_all(&path).map_err(|error| Stop::io(path.display(), &error))?;
    create(&path)?;
    run(command(path.join("bin/python"))
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--requirement",
        ])
        .arg(&requirements))?;
    fs::write(&stamp, wanted).map_err(|error| Stop::io(stamp.display(), &error))?;
    Ok(path)
}

fn read(path: &Path) -> Outcome<String> {
    fs::read_to_string(path).map_err(|error| Stop::io(path.display(), &error))
}

/// The first interpreter of that version: by name, then among those pyenv keeps.
fn interpreter(names: &[&str], version: &str) -> Option<PathBuf> {
    let named = names.iter().map(PathBuf::from);
    named
        .chain(pyenv(version))
        .find(|path| is_version(path, version))
}

fn pyenv(version: &str) -> Vec<PathBuf> {
    let home = std::env::var_os("PYENV_ROOT")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".pyenv")));
    let Some(entries) = home.and_then(|home| fs::read_dir(home.join("versions")).ok()) else {
        return Vec::new();
    };
    let mut paths: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            path.file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with(version))
        })
        .map(|path| path.join("bin/python"))
        .collect();
    paths.sort();
    paths
}

/// Asks the interpreter itself: a name may be a shim with nothing behind it.
fn is_version(path: &Path, version: &str) -> bool {
    let script = "import sys; sys.stdout.write('%d.%d' % sys.version_info[:2])";
    let answer = output(command(path).args(["-c", script]).stdin(Stdio::null()));
    answer.is_ok_and(|answer| answer == version || answer.starts_with(&format!("{version}.")))
}
