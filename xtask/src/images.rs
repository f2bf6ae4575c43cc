//! Base images made here, out of Debian's packages: no registry is asked.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::command::{Outcome, read, run};
use crate::engine::docker;
use crate::repo::Repo;

/// What tests start containers from.
pub(crate) const DEBIAN: &str = "sh0-test/debian:bookworm";

/// Changes with the recipe below: an image of an older one is made anew.
const RECIPE: &str = "dev.sh0.recipe=1";

/// The machine's certificates: what is behind its proxy is trusted inside of builds too.
const CERTIFICATES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Makes the base image when it is missing.
pub(crate) fn base(repo: &Repo) -> Outcome {
    if is_here(DEBIAN) {
        println!("images: {DEBIAN} is here");
        return Ok(());
    }
    let rootfs = repo.fresh("debian")?;
    run(Command::new("debootstrap").arg("--variant=minbase").arg("bookworm").arg(&rootfs).stdout(Stdio::null()))?;
    for waste in ["var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/locale"] {
        empty(&rootfs.join(waste))?;
    }
    if Path::new(CERTIFICATES).is_file() {
        fs::create_dir_all(rootfs.join("etc/ssl/certs"))?;
        fs::copy(CERTIFICATES, rootfs.join(&CERTIFICATES[1..]))?;
    }
    import(&rootfs, DEBIAN)?;
    fs::remove_dir_all(&rootfs)?;
    Ok(())
}

fn is_here(image: &str) -> bool {
    let filters = [format!("reference={image}"), format!("label={RECIPE}")].map(|filter| format!("--filter={filter}"));
    read(docker().args(["image", "ls", "--quiet"]).args(filters)).is_ok_and(|found| !found.trim().is_empty())
}

/// `tar | docker import`, without a shell between.
fn import(rootfs: &Path, image: &str) -> Outcome {
    let mut tar = Command::new("tar")
        .args(["--create", "--numeric-owner", "--one-file-system", "--directory"])
        .arg(rootfs)
        .arg(".")
        .stdout(Stdio::piped())
        .spawn()?;
    let archive = tar.stdout.take().ok_or("tar has no output")?;
    let names = ["SSL_CERT_FILE", "CURL_CA_BUNDLE", "PIP_CERT", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"];
    let trusted = names.map(|name| format!("{name}={CERTIFICATES}")).join(" ");
    let changes = [format!("ENV {trusted}"), format!("LABEL {RECIPE}")].map(|change| format!("--change={change}"));
    let imported = run(docker().arg("import").args(changes).args(["-", image]).stdin(archive));
    if !tar.wait()?.success() {
        return Err("tar could not read the new root file system".into());
    }
    imported
}

fn empty(dir: &Path) -> Outcome {
    if dir.is_dir() {
        fs::remove_dir_all(dir)?;
        fs::create_dir(dir)?;
    }
    Ok(())
}
