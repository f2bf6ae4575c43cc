//! Base images made here, out of Debian's packages: no registry of images is asked.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::command::{Outcome, read, run};
use crate::engine::docker;
use crate::repo::Repo;

/// What tests start containers from, and what the stacks' images are made from.
pub(crate) const DEBIAN: Base = Base { image: "sh0-test/debian:bookworm", suite: "bookworm" };
/// The same of the next release, for what is newer there.
pub(crate) const TRIXIE: Base = Base { image: "sh0-test/debian:trixie", suite: "trixie" };

/// An image made from a release of Debian.
#[derive(Clone, Copy)]
pub(crate) struct Base {
    pub(crate) image: &'static str,
    suite: &'static str,
}

/// Changes with the recipe below: an image of an older one is made anew.
pub(crate) const RECIPE: &str = "dev.sh0.recipe=2";

/// The machine's certificates: what is behind its proxy is trusted inside of builds too. They have a place of their own,
/// because Debian's `ca-certificates` writes its own bundle over the usual one.
const CERTIFICATES: &str = "/etc/ssl/certs/ca-certificates.crt";
const INSIDE: &str = "/usr/local/share/host-certificates.crt";
const TRUST: &[&str] = &[
    "CARGO_HTTP_CAINFO",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "NODE_EXTRA_CA_CERTS",
    "PIP_CERT",
    "REQUESTS_CA_BUNDLE",
    "SSL_CERT_FILE",
];

impl Base {
    /// Makes the image when it is missing.
    pub(crate) fn make(self, repo: &Repo) -> Outcome {
        if is_here(self.image) {
            println!("images: {} is here", self.image);
            return Ok(());
        }
        let rootfs = repo.fresh(self.suite)?;
        run(Command::new("debootstrap").arg("--variant=minbase").arg(self.suite).arg(&rootfs).stdout(Stdio::null()))?;
        for waste in ["var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/locale"] {
            empty(&rootfs.join(waste))?;
        }
        if Path::new(CERTIFICATES).is_file() {
            fs::copy(CERTIFICATES, rootfs.join(&INSIDE[1..]))?;
        }
        import(&rootfs, self.image)?;
        Ok(fs::remove_dir_all(&rootfs)?)
    }
}

/// Whether there is such an image, of the present recipe.
pub(crate) fn is_here(image: &str) -> bool {
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
    let mut changes = vec![format!("LABEL {RECIPE}")];
    if rootfs.join(&INSIDE[1..]).is_file() {
        changes.extend(TRUST.iter().map(|name| format!("ENV {name}={INSIDE}")));
    }
    let changes = changes.iter().map(|change| format!("--change={change}"));
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
