//! When versions get no more security fixes, as their projects announce it (looked up in November 2026).

/// The day the table was made: what counts as now when nobody says.
pub(super) const MADE: &str = "2026-11-21";

/// Product, version line, the last day.
const TABLE: &[(&str, &str, &str)] = &[
    ("node", "10", "2021-04-30"),
    ("node", "12", "2022-04-30"),
    ("node", "14", "2023-04-30"),
    ("node", "16", "2023-09-11"),
    ("node", "17", "2022-06-01"),
    ("node", "18", "2025-04-30"),
    ("node", "19", "2023-06-01"),
    ("node", "20", "2026-04-30"),
    ("node", "21", "2024-06-01"),
    ("node", "22", "2027-04-30"),
    ("node", "23", "2025-06-01"),
    ("node", "24", "2028-04-30"),
    ("node", "25", "2026-06-01"),
    ("python", "2", "2020-01-01"),
    ("python", "2.7", "2020-01-01"),
    ("python", "3.5", "2020-09-30"),
    ("python", "3.6", "2021-12-23"),
    ("python", "3.7", "2023-06-27"),
    ("python", "3.8", "2024-10-07"),
    ("python", "3.9", "2025-10-31"),
    ("python", "3.10", "2026-10-31"),
    ("python", "3.11", "2027-10-31"),
    ("python", "3.12", "2028-10-31"),
    ("python", "3.13", "2029-10-31"),
    ("python", "3.14", "2030-10-31"),
    ("ruby", "2.5", "2021-04-05"),
    ("ruby", "2.6", "2022-04-12"),
    ("ruby", "2.7", "2023-03-31"),
    ("ruby", "3.0", "2024-04-23"),
    ("ruby", "3.1", "2025-03-26"),
    ("ruby", "3.2", "2026-03-31"),
    ("ruby", "3.3", "2027-03-31"),
    ("ruby", "3.4", "2028-03-31"),
    ("php", "5", "2018-12-31"),
    ("php", "7.2", "2020-11-30"),
    ("php", "7.3", "2021-12-06"),
    ("php", "7.4", "2022-11-28"),
    ("php", "8.0", "2023-11-26"),
    ("php", "8.1", "2025-12-31"),
    ("php", "8.2", "2026-12-31"),
    ("php", "8.3", "2027-12-31"),
    ("php", "8.4", "2028-12-31"),
    ("dotnet", "3.1", "2022-12-13"),
    ("dotnet", "5.0", "2022-05-10"),
    ("dotnet", "6.0", "2024-11-12"),
    ("dotnet", "7.0", "2024-05-14"),
    ("dotnet", "8.0", "2026-11-10"),
    ("dotnet", "9.0", "2026-11-10"),
    ("dotnet", "10.0", "2028-11-14"),
    ("golang", "1.18", "2023-02-01"),
    ("golang", "1.19", "2023-09-06"),
    ("golang", "1.20", "2024-02-06"),
    ("golang", "1.21", "2024-08-13"),
    ("golang", "1.22", "2025-02-11"),
    ("golang", "1.23", "2025-08-12"),
    ("debian", "8", "2020-06-30"),
    ("debian", "9", "2022-06-30"),
    ("debian", "10", "2024-06-30"),
    ("debian", "11", "2026-08-31"),
    ("debian", "12", "2028-06-30"),
    ("debian", "jessie", "2020-06-30"),
    ("debian", "stretch", "2022-06-30"),
    ("debian", "buster", "2024-06-30"),
    ("debian", "bullseye", "2026-08-31"),
    ("debian", "bookworm", "2028-06-30"),
    ("ubuntu", "14.04", "2019-04-25"),
    ("ubuntu", "16.04", "2021-04-30"),
    ("ubuntu", "18.04", "2023-05-31"),
    ("ubuntu", "20.04", "2025-05-31"),
    ("ubuntu", "22.04", "2027-04-30"),
    ("alpine", "3.12", "2022-05-01"),
    ("alpine", "3.13", "2022-11-01"),
    ("alpine", "3.14", "2023-05-01"),
    ("alpine", "3.15", "2023-11-01"),
    ("alpine", "3.16", "2024-05-23"),
    ("alpine", "3.17", "2024-11-22"),
    ("alpine", "3.18", "2025-05-09"),
    ("alpine", "3.19", "2025-11-01"),
    ("alpine", "3.20", "2026-04-01"),
    ("alpine", "3.21", "2026-11-01"),
    ("alpine", "3.22", "2027-05-01"),
    ("centos", "6", "2020-11-30"),
    ("centos", "7", "2024-06-30"),
    ("centos", "8", "2021-12-31"),
    ("postgres", "11", "2023-11-09"),
    ("postgres", "12", "2024-11-14"),
    ("postgres", "13", "2025-11-13"),
    ("postgres", "14", "2026-11-12"),
    ("mysql", "5.6", "2021-02-05"),
    ("mysql", "5.7", "2023-10-31"),
    ("mysql", "8.0", "2026-04-30"),
    ("mongo", "4.0", "2022-04-30"),
    ("mongo", "4.2", "2023-04-30"),
    ("mongo", "4.4", "2024-02-29"),
    ("mongo", "5", "2024-10-31"),
    ("mongo", "6", "2025-07-31"),
];

/// Repositories under other names.
const NAMES: &[(&str, &str)] = &[
    ("mcr.microsoft.com/dotnet/aspnet", "dotnet"),
    ("mcr.microsoft.com/dotnet/sdk", "dotnet"),
    ("mcr.microsoft.com/dotnet/runtime", "dotnet"),
    ("nodejs", "node"),
    ("cpython", "python"),
    ("dotnetcore", "dotnet"),
    ("go", "golang"),
];

/// The last day of a product's version, `18.20.1` being of the line `18`, if it is over.
pub(super) fn ended(product: &str, version: &str, today: &str) -> Option<&'static str> {
    let product = NAMES.iter().find(|(name, _)| *name == product).map_or(product, |(_, known)| *known);
    let version = version.trim_start_matches('v');
    let line = TABLE.iter().filter(|(name, line, _)| {
        let rest = version.strip_prefix(line);
        *name == product && rest.is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()))
    });
    // The longest line: 3.1 is not 3.
    let (_, _, last) = line.max_by_key(|(_, line, _)| line.len())?;
    (*last < today).then_some(*last)
}

/// The same for an image, such as `node:18-alpine3.17` or `python:3.8-slim-buster`: what is over, and since when.
pub(super) fn image_ended(image: &str, today: &str) -> Option<(String, &'static str)> {
    let image = image.split('@').next().unwrap_or(image);
    let (repository, tag) = image.rsplit_once(':').filter(|(_, tag)| !tag.contains('/'))?;
    let repository = repository.trim_start_matches("docker.io/").trim_start_matches("library/");
    let mut parts = tag.split('-');
    let version = parts.next().unwrap_or_default();
    if let Some(day) = ended(repository, version, today) {
        return Some((format!("{repository} {version}"), day));
    }
    parts.find_map(|part| {
        let alpine = part.strip_prefix("alpine").filter(|version| !version.is_empty());
        let (product, version) = alpine.map_or(("debian", part), |version| ("alpine", version));
        ended(product, version, today).map(|day| (format!("{product} {version}"), day))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_images() {
        for (image, over) in [
            ("node:18.20.1-alpine", Some("node 18.20.1")),
            ("node:180", None),
            ("node:24", None),
            ("node", None),
            ("node:latest", None),
            ("node:24-buster", Some("debian buster")),
            ("python:3.1", None),
            ("python:3.8-slim", Some("python 3.8")),
            ("mcr.microsoft.com/dotnet/aspnet:6.0", Some("mcr.microsoft.com/dotnet/aspnet 6.0")),
            ("alpine:3.22", None),
            ("registry:5000/node", None),
            ("node:24-alpine3.15", Some("alpine 3.15")),
            ("mongo:4.2.0", Some("mongo 4.2.0")),
            ("docker.io/library/php:8.0-fpm", Some("php 8.0")),
        ] {
            assert_eq!(image_ended(image, MADE).map(|(what, _)| what).as_deref(), over, "{image}");
        }
        assert_eq!(ended("node", "20", "2026-04-01"), None);
        assert_eq!(ended("mongo", "4.2.0", MADE), Some("2023-04-30"));
    }
}
