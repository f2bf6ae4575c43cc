//! Projects: groups of apps.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Meta, Operation, operations};
use crate::model::{Page, Project, ProjectName};

/// List the projects.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListProjects {}

impl Operation for ListProjects {
    const META: Meta = Meta::get("projects.list", "/projects");
    type Output = Page<Project>;
}

/// Create a project.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateProject {
    /// Its name, unique on the platform.
    pub name: ProjectName,
}

impl Operation for CreateProject {
    const META: Meta = Meta::post("projects.create", "/projects");
    type Output = Project;
}

operations! { unary [ListProjects, CreateProject] }
