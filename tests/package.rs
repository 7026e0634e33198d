//! `make package`: what a server needs and nothing else, in a .deb and in a tarball.

use pgrx_tests::{program, succeed};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

fn files(listing: &[u8]) -> BTreeSet<String> {
    let text = String::from_utf8_lossy(listing).into_owned();
    text.lines().filter_map(|line| line.split(' ').next_back()).filter(|path| !path.ends_with('/')).map(str::to_owned).collect()
}

#[test]
fn the_packages_bring_library_control_file_sql_and_docs() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let (major, version) = (std::env::var("PG_MAJOR").expect("PG_MAJOR"), env!("CARGO_PKG_VERSION"));
    let config = program("pg_config");
    let mut make = Command::new("make");
    make.current_dir(&root).args(["-s", "package", "LIBRARY_IS_BUILT=1"]).arg(format!("PG_CONFIG={}", config.display()));
    succeed(&mut make);
    let package = root.join(format!("target/package/pg_auth-{version}-pg{major}"));
    let tarball = files(
        &succeed(Command::new("tar").arg("-tzf").arg(format!("{}-linux-{}.tar.gz", package.display(), std::env::consts::ARCH))).stdout,
    );
    let deb = files(&succeed(Command::new("dpkg-deb").arg("-c").arg(format!("{}.deb", package.display()))).stdout);
    assert_eq!(tarball, deb);
    let where_is = |what: &str| String::from_utf8(succeed(Command::new(&config).arg(what)).stdout).expect("a path").trim().to_owned();
    for (directory, file) in [
        ("--pkglibdir", "pg_auth.so".to_owned()),
        ("--sharedir", "extension/pg_auth.control".to_owned()),
        ("--sharedir", format!("extension/pg_auth--{version}.sql")),
        ("--sharedir", format!("extension/pg_auth--0.1.0--{version}.sql")),
    ] {
        assert!(deb.contains(&format!(".{}/{file}", where_is(directory))), "{file}: {deb:#?}");
    }
    assert!(deb.iter().any(|file| file.ends_with("README.md")) && deb.len() < 20, "{deb:#?}");
}

#[test]
fn meta_json_says_what_the_control_file_says() {
    let meta: serde_json::Value = serde_json::from_str(include_str!("../META.json")).expect("JSON");
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!((meta["version"].as_str(), meta["provides"]["pg_auth"]["version"].as_str()), (Some(version), Some(version)));
    assert!(include_str!("../pg_auth.control").contains(&format!("default_version = '{version}'")));
    assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(meta["provides"]["pg_auth"]["file"].as_str().expect("a file")).exists());
}
