use std::io::Read;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use sh0_docker::client::{ContainerSpec, PutArchive};

use crate::harness::{tar, with_engine};

#[test]
fn files_go_in_and_come_out() {
    with_engine(async |corner| {
        let docker = &corner.docker;
        // A container that never ran is enough.
        let id = corner.create(&corner.script("sha1sum -c /srv/sums")).await;
        let big: Vec<u8> = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
        let files = tar(&[("in/big", &big), ("in/small", b"hello")]);
        docker.put_archive(&id, "/srv", PutArchive::default(), files).await.unwrap();

        let stat = docker.stat_path(&id, "/srv/in/small").await.unwrap();
        assert_eq!((stat.name.as_str(), stat.size, stat.permissions()), ("small", Some(5), 0o755));
        assert!(!stat.is_dir());
        assert!(docker.stat_path(&id, "/srv/in").await.unwrap().is_dir());
        assert!(
            docker.stat_path(&id, "/etc/mtab").await.is_err()
                || docker.stat_path(&id, "/bin").await.unwrap().is_symlink()
        );

        let (stat, bytes) = docker.get_archive(&id, "/srv/in").await.unwrap();
        assert!(stat.is_dir());
        let bytes: Vec<Bytes> = bytes.try_collect().await.unwrap();
        let mut archive = tar::Archive::new(std::io::Cursor::new(bytes.concat()));
        let mut found = Vec::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            found.push((entry.path().unwrap().to_string_lossy().into_owned(), content));
        }
        found.sort();
        let names: Vec<_> = found.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["in/", "in/big", "in/small"]);
        assert!(found[1].1 == big && found[2].1 == b"hello");
    });
}

#[test]
fn paths_that_are_not_there_are_not_found() {
    with_engine(async |corner| {
        let docker = &corner.docker;
        let id = corner.create(&corner.script("true")).await;
        assert!(docker.stat_path(&id, "/none").await.unwrap_err().is_not_found());
        assert!(docker.get_archive(&id, "/none").await.unwrap_err().is_not_found());
        assert!(docker.stat_path("sh0-test-none", "/").await.unwrap_err().is_not_found());
        // Refused before the endless upload starts.
        let endless = stream::repeat_with(|| Ok(Bytes::from_static(&[0; 4096])));
        let error = docker.put_archive(&id, "/none", PutArchive::default(), endless).await.unwrap_err();
        assert!(error.is_not_found(), "{error}");
        let error = docker.put_archive(&id, "/etc/passwd", PutArchive::default(), tar(&[])).await.unwrap_err();
        // 500 in 20.10, 400 in later engines.
        assert!(error.to_string().contains("not a directory"), "{error}");
        let nonsense = stream::iter([Ok(Bytes::from(vec![b'x'; 2048]))]);
        assert!(docker.put_archive(&id, "/srv", PutArchive::default(), nonsense).await.is_err());
    });
}

#[test]
fn a_read_only_container_takes_no_files() {
    with_engine(async |corner| {
        let spec = ContainerSpec { read_only: true, ..corner.script("true") };
        let id = corner.create(&spec).await;
        let put = corner.docker.put_archive(&id, "/srv", PutArchive::default(), tar(&[("x", b"y")])).await;
        let error = put.unwrap_err();
        assert!(error.to_string().contains("read-only"), "{error}");
    });
}

#[test]
fn a_download_may_be_dropped() {
    with_engine(async |corner| {
        let id = corner.create(&corner.script("true")).await;
        let (_, mut bytes) = corner.docker.get_archive(&id, "/usr").await.unwrap();
        bytes.next().await.unwrap().unwrap();
        drop(bytes);
        assert!(corner.docker.stat_path(&id, "/usr").await.unwrap().is_dir());
    });
}
