//! Stages: `30s:100` goes to 100 VUs over 30 s, `30s:100/s` to 100 arrivals a second; `0s:` jumps.

use std::time::Duration;

use crate::limits::{DURATION_MAX, RATE_MAX, STAGES_MAX, VUS_MAX};
use crate::model::{RateStage, VuStage};
use crate::units::{UnitError, parse_count, parse_duration, parse_rate, render_duration, render_rate};
use crate::words::{grouped, quote};

/// The stages of one workflow: all of VUs, or all of rates.
#[derive(Debug, Clone, PartialEq)]
pub enum Stages {
    /// `30s:100`
    Vus(Vec<VuStage>),
    /// `30s:100/s`
    Rates(Vec<RateStage>),
}

/// One stage.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Stage {
    Vus(VuStage),
    Rate(RateStage),
}

impl Stage {
    fn duration(self) -> Duration {
        match self {
            Self::Vus(stage) => stage.duration,
            Self::Rate(stage) => stage.duration,
        }
    }
}

impl Stages {
    /// The texts that read back as these stages.
    pub(crate) fn render(&self) -> Vec<String> {
        match self {
            Self::Vus(stages) => {
                stages.iter().map(|s| format!("{}:{}", render_duration(s.duration), s.vus)).collect()
            }
            Self::Rates(stages) => stages
                .iter()
                .map(|s| format!("{}:{}", render_duration(s.duration), render_rate(s.rate)))
                .collect(),
        }
    }
}

/// Reads `30s:100,1m:0` (VUs) or `30s:100/s,1m:0/s` (rates).
///
/// # Errors
/// [`UnitError`] with what would be right: a part that is no stage, VUs and rates mixed, a sum of no length or over
/// 30 days.
pub fn parse_stages(text: &str) -> Result<Stages, UnitError> {
    let stages = text.split(',').map(|part| parse_stage(part.trim())).collect::<Result<Vec<_>, _>>()?;
    collect(&stages)
}

/// Reads one stage; its numbers are in range.
pub(crate) fn parse_stage(text: &str) -> Result<Stage, UnitError> {
    let Some((duration, target)) = text.rsplit_once(':') else {
        return Err(UnitError(format!(
            "{} is not a stage; write \"30s:100\" for VUs or \"30s:100/s\" for a rate",
            quote(text)
        )));
    };
    let duration = parse_duration(duration)?;
    if target.contains('/') {
        let rate = parse_rate(target)?;
        if rate > RATE_MAX {
            return Err(UnitError(format!(
                "the rate of stage {} must be 0/s to {}",
                quote(text),
                rate_limit()
            )));
        }
        return Ok(Stage::Rate(RateStage { duration, rate }));
    }
    let count = parse_count(target)?;
    let vus = u32::try_from(count).ok().filter(|vus| u64::from(*vus) <= VUS_MAX).ok_or_else(|| {
        UnitError(format!(
            "the VUs of stage {} must be 0 to {}; for a rate write {}",
            quote(text),
            grouped(VUS_MAX),
            quote(&format!("{text}/s"))
        ))
    })?;
    Ok(Stage::Vus(VuStage { duration, vus }))
}

/// All VUs or all rates; with some length, within 30 days.
pub(crate) fn collect(stages: &[Stage]) -> Result<Stages, UnitError> {
    if stages.len() > STAGES_MAX {
        return Err(UnitError(format!("{} stages; at most {}", stages.len(), grouped(STAGES_MAX as u64))));
    }
    let total = stages.iter().try_fold(Duration::ZERO, |sum, stage| sum.checked_add(stage.duration()));
    match total {
        Some(total) if total.is_zero() => {
            return Err(UnitError("the stages have no length; write for example \"30s:100\"".to_owned()));
        }
        Some(total) if total <= DURATION_MAX => {}
        Some(_) | None => {
            return Err(UnitError(format!(
                "the stages last longer than {} together",
                render_duration(DURATION_MAX)
            )));
        }
    }
    let (mut vus, mut rates) = (Vec::new(), Vec::new());
    for stage in stages {
        match stage {
            Stage::Vus(stage) => vus.push(*stage),
            Stage::Rate(stage) => rates.push(*stage),
        }
    }
    match (vus.is_empty(), rates.is_empty()) {
        (false, false) => Err(UnitError(
            "the stages mix VUs (\"30s:100\") and rates (\"30s:100/s\"); write all of one kind".to_owned(),
        )),
        (_, true) => Ok(Stages::Vus(vus)),
        (true, false) => Ok(Stages::Rates(rates)),
    }
}

/// `10,000,000/s`.
pub(crate) fn rate_limit() -> String {
    "10,000,000/s".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vus_and_rates_are_told_apart_by_the_slash() {
        let second = Duration::from_secs(1);
        assert_eq!(
            parse_stages("30s:100, 0s:1k"),
            Ok(Stages::Vus(vec![
                VuStage { duration: second * 30, vus: 100 },
                VuStage { duration: Duration::ZERO, vus: 1000 }
            ]))
        );
        assert_eq!(
            parse_stages("1m:30/m"),
            Ok(Stages::Rates(vec![RateStage { duration: second * 60, rate: 0.5 }]))
        );
    }

    #[test]
    fn a_refusal_says_what_would_be_right() {
        for (text, message) in [
            ("", r#""" is not a stage; write "30s:100" for VUs or "30s:100/s" for a rate"#),
            ("100", r#""100" is not a stage; write "30s:100" for VUs or "30s:100/s" for a rate"#),
            ("30:100", r#""30" has no unit; write "30s" or "30ms""#),
            ("30s:", r#""" is not a count; write 200, "10k" or "1.5m""#),
            ("30s:-1", r#""-1" is negative; a count starts at 0"#),
            ("30s:-1/s", r#""-1/s" is negative; a rate starts at "0/s""#),
            ("30s:2m", r#"the VUs of stage "30s:2m" must be 0 to 1,000,000; for a rate write "30s:2m/s""#),
            ("30s:11m/s", r#"the rate of stage "30s:11m/s" must be 0/s to 10,000,000/s"#),
            ("0s:5", r#"the stages have no length; write for example "30s:100""#),
            ("20d:5,11d:5", "the stages last longer than 30d together"),
            (
                "1s:5,1s:5/s",
                r#"the stages mix VUs ("30s:100") and rates ("30s:100/s"); write all of one kind"#,
            ),
        ] {
            assert_eq!(parse_stages(text).unwrap_err().to_string(), message, "{text}");
        }
    }

    #[test]
    fn rendered_stages_read_back_the_same() {
        for text in ["30s:100,0s:1000", "1m:0.5/s,2m30s:1500/s"] {
            let stages = parse_stages(text).unwrap();
            assert_eq!(stages.render().join(","), text);
        }
    }
}
