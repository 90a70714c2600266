//! How long each class of data is kept, by whose rule, and what was removed lately.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use cairn_catalog::RetentionRun;
use cairn_model::retention::{DataClass, RULES, Retention, Term};
use serde::Serialize;
use utoipa::ToSchema;

use super::body::Fields;
use super::show;
use crate::App;
use crate::auth::{SiteAccess, blocking};
use crate::error::ApiError;

/// One class of data.
#[derive(Serialize, ToSchema)]
#[schema(as = RetentionClass)]
pub struct ClassBody {
    /// Its name.
    #[schema(example = "events")]
    pub class: &'static str,
    /// What is in it.
    pub what: &'static str,
    /// What it is kept for.
    pub purpose: &'static str,
    /// From when its days are counted.
    pub counted_from: &'static str,
    /// Where the rule comes from.
    pub source: &'static str,
    /// Days for which it is kept, or the longest of them where each entry has its own end; null: as long as the site.
    #[schema(required, example = 760)]
    pub days: Option<u32>,
    /// The days are the site's own choice.
    pub is_chosen: bool,
    /// Fewest and most days that a site may choose; null: it may not.
    #[schema(required)]
    pub bounds: Option<BoundsBody>,
    /// When the oldest entry came that is held (RFC 3339); null: there is none, or it is not known.
    #[schema(required)]
    pub oldest_held_at: Option<String>,
    /// When the job last looked (RFC 3339); null: not yet, or the class needs none.
    #[schema(required)]
    pub last_run_at: Option<String>,
    /// How many entries it removed then.
    #[schema(required)]
    pub last_removed: Option<u64>,
}

/// What a site may choose.
#[derive(Serialize, ToSchema)]
#[schema(as = RetentionBounds)]
pub struct BoundsBody {
    /// Fewest days.
    pub days_min: u32,
    /// Most days.
    pub days_max: u32,
    /// Days where it chose none.
    pub days_default: u32,
}

/// All classes.
#[derive(Serialize, ToSchema)]
#[schema(as = Retention)]
pub struct RetentionBody {
    /// In the order of the table.
    pub classes: Vec<ClassBody>,
}

/// Days that a site chose; what is left out has the default.
#[derive(Serialize, ToSchema)]
#[schema(as = RetentionChoice)]
pub struct RetentionChoiceBody {
    /// Events and visits, from their arrival: 1 to 3660.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events: Option<u16>,
    /// User ids and traits, from the arrival of the last event that names the person: 1 to 3660.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub people: Option<u16>,
    /// Choices about mails, since their last change: 30 to 3660.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mail_choices: Option<u16>,
}

impl RetentionChoiceBody {
    /// `None`: nothing was chosen.
    pub fn of(chosen: Retention) -> Option<Self> {
        let Retention { events, people, mail_choices } = chosen;
        let body = RetentionChoiceBody { events, people, mail_choices };
        (chosen != Retention::default()).then_some(body)
    }
}

/// Days to be set; null has the default again, what is left out stays.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a body that `change` reads")]
pub struct RetentionPatch {
    /// Events and visits.
    pub events: Option<u16>,
    /// User ids and traits.
    pub people: Option<u16>,
    /// Choices about mails.
    pub mail_choices: Option<u16>,
}

/// Changes what the field `retention` says of it.
pub(super) fn change(fields: &mut Fields, retention: &mut Retention) -> Result<(), ApiError> {
    let Some(mut inner) = fields.object("retention")? else { return Ok(()) };
    for rule in &RULES {
        let Term::Chosen { days_min, days_max, .. } = rule.term else { continue };
        let Some(place) = retention.choice_mut(rule.class) else { continue };
        let is_said = inner.has(rule.name);
        let days = inner.whole(rule.name, i64::from(days_min)..=i64::from(days_max))?;
        if is_said {
            *place = days.and_then(|days| u16::try_from(days).ok());
        }
    }
    inner.finish()
}

/// Tells of each class of data how long it is kept and why, how old the oldest entry is, and what the daily job removed.
#[utoipa::path(get, path = "/api/v1/sites/{site_id}/retention", tag = "privacy",
    params(("site_id" = String, Path, description = "Number of the site")),
    responses((status = 200, body = RetentionBody)))]
pub async fn show(
    State(app): State<Arc<App>>,
    access: SiteAccess,
) -> Result<Json<RetentionBody>, ApiError> {
    let (site_id, chosen) = (access.site_id(), access.site().privacy.retention);
    let oldest_event = super::store(&app, move |store| store.oldest_received_ms(site_id)).await?;
    let held = blocking(&app, move |catalog| {
        let of_class = |class| {
            let run = catalog.retention_run(site_id, class)?;
            Ok((catalog.oldest_held_ms(site_id, class)?, run))
        };
        DataClass::ALL.into_iter().map(of_class).collect::<Result<Vec<_>, _>>()
    })
    .await?;
    let classes = DataClass::ALL.into_iter().zip(held).map(|(class, (oldest_ms, run))| {
        let oldest_ms = match class {
            DataClass::Events => oldest_event,
            _ => oldest_ms,
        };
        body(class, chosen, oldest_ms, run)
    });
    Ok(Json(RetentionBody { classes: classes.collect() }))
}

fn body(
    class: DataClass,
    mut chosen: Retention,
    oldest_ms: Option<i64>,
    run: Option<RetentionRun>,
) -> ClassBody {
    let rule = class.rule();
    let bounds = match rule.term {
        Term::Chosen { default_days, days_min, days_max } => {
            Some(BoundsBody { days_min, days_max, days_default: default_days })
        }
        _ => None,
    };
    ClassBody {
        class: rule.name,
        what: rule.what,
        purpose: rule.purpose,
        counted_from: rule.counted_from,
        source: rule.source,
        days: chosen.days(class),
        is_chosen: chosen.choice_mut(class).is_some_and(|choice| choice.is_some()),
        bounds,
        oldest_held_at: oldest_ms.map(show::instant),
        last_run_at: run.map(|run| show::instant(run.ran_at_ms)),
        last_removed: run.map(|run| run.removed),
    }
}
