//! Tables, joins and functions in FROM; expressions and queries are walked elsewhere.

use harvest::{DialectName, HarvestResult};
use sqlparser::ast::{
    FunctionArg, JoinConstraint, JoinOperator, TableFactor, TableSample, TableSampleKind, TableVersion,
    TableWithJoins, XmlTableColumnOption,
};

use super::Walk;
use crate::refusal::unknown;

impl Walk<'_> {
    pub(super) fn table_with_joins(&mut self, table: &TableWithJoins) -> HarvestResult<()> {
        self.table(&table.relation)?;
        for join in &table.joins {
            if join.global {
                return unknown("GLOBAL JOIN");
            }
            self.table(&join.relation)?;
            if let Some(uses) = &mut self.uses {
                uses.join(&join.join_operator);
            }
            self.join(&join.join_operator)?;
        }
        Ok(())
    }

    fn join(&mut self, operator: &JoinOperator) -> HarvestResult<()> {
        match operator {
            JoinOperator::Join(on)
            | JoinOperator::Inner(on)
            | JoinOperator::Left(on)
            | JoinOperator::LeftOuter(on)
            | JoinOperator::Right(on)
            | JoinOperator::RightOuter(on)
            | JoinOperator::FullOuter(on)
            | JoinOperator::CrossJoin(on)
            | JoinOperator::StraightJoin(on) => match on {
                JoinConstraint::On(expr) => self.expr(expr),
                JoinConstraint::Using(_)
                | JoinConstraint::UsingAlias(_, _)
                | JoinConstraint::Natural
                | JoinConstraint::None => Ok(()),
            },
            JoinOperator::Semi(_)
            | JoinOperator::LeftSemi(_)
            | JoinOperator::RightSemi(_)
            | JoinOperator::Anti(_)
            | JoinOperator::LeftAnti(_)
            | JoinOperator::RightAnti(_)
            | JoinOperator::CrossApply
            | JoinOperator::OuterApply
            | JoinOperator::AsOf { .. }
            | JoinOperator::ArrayJoin
            | JoinOperator::LeftArrayJoin
            | JoinOperator::InnerArrayJoin => unknown("a join of another engine"),
        }
    }

    fn table(&mut self, factor: &TableFactor) -> HarvestResult<()> {
        if let Some(uses) = &mut self.uses {
            uses.factor(self.dialect, factor);
        }
        match factor {
            TableFactor::Table {
                name,
                alias: _,
                args,
                with_hints,
                version,
                with_ordinality: _,
                partitions: _,
                json_path,
                sample,
                index_directives: _,
                inheritance: _,
            } => {
                if !with_hints.is_empty() || json_path.is_some() {
                    return unknown("a table hint");
                }
                self.version(version.as_ref())?;
                self.sample(sample.as_ref())?;
                if let Some(args) = args {
                    if args.settings.is_some() {
                        return unknown("SETTINGS");
                    }
                    return self.function_in_from(name, &args.args);
                }
                self.table_name(name)
            }
            TableFactor::Derived { lateral: _, subquery, alias: _, sample } => {
                self.sample(sample.as_ref())?;
                self.query(subquery)
            }
            TableFactor::Function { lateral: _, name, args, with_ordinality: _, alias: _ } => {
                self.function_in_from(name, args)
            }
            TableFactor::UNNEST { array_exprs, .. } => self.exprs(array_exprs),
            TableFactor::JsonTable { json_expr, json_path: _, columns: _, alias: _ } => self.expr(json_expr),
            TableFactor::NestedJoin { table_with_joins, alias: _ } => self.table_with_joins(table_with_joins),
            TableFactor::XmlTable { namespaces, row_expression, passing, columns, alias: _ } => {
                for namespace in namespaces {
                    self.expr(&namespace.uri)?;
                }
                self.expr(row_expression)?;
                for argument in &passing.arguments {
                    self.expr(&argument.expr)?;
                }
                for column in columns {
                    if let XmlTableColumnOption::NamedInfo { r#type: _, path, default, nullable: _ } =
                        &column.option
                    {
                        self.optional(path.as_ref())?;
                        self.optional(default.as_ref())?;
                    }
                }
                Ok(())
            }
            TableFactor::TableFunction { .. }
            | TableFactor::OpenJsonTable { .. }
            | TableFactor::Pivot { .. }
            | TableFactor::Unpivot { .. }
            | TableFactor::UnpivotExpr { .. }
            | TableFactor::MatchRecognize { .. }
            | TableFactor::SemanticView { .. } => unknown("a table expression of another engine"),
        }
    }

    pub(super) fn table_name(&mut self, name: &sqlparser::ast::ObjectName) -> HarvestResult<()> {
        let (schema, name) = self.parts(name)?;
        // PostgreSQL folds plain names; the others keep them as written.
        let written = |ident: &sqlparser::ast::Ident| match self.dialect {
            DialectName::Postgresql => self.folded(ident),
            _ => ident.value.clone(),
        };
        let (schema, name) = (schema.map(&written), written(name));
        self.relation(schema, name)
    }

    pub(super) fn function_in_from(
        &mut self,
        name: &sqlparser::ast::ObjectName,
        args: &[FunctionArg],
    ) -> HarvestResult<()> {
        self.call_name(name)?;
        self.function_args(args)
    }

    fn version(&mut self, version: Option<&TableVersion>) -> HarvestResult<()> {
        match version {
            None => Ok(()),
            Some(TableVersion::ForSystemTimeAsOf(expr)) if self.dialect == DialectName::Mariadb => {
                self.expr(expr)
            }
            Some(_) => unknown("a table version"),
        }
    }

    fn sample(&mut self, sample: Option<&TableSampleKind>) -> HarvestResult<()> {
        let Some(TableSampleKind::BeforeTableAlias(sample) | TableSampleKind::AfterTableAlias(sample)) =
            sample
        else {
            return Ok(());
        };
        let TableSample { modifier: _, name: _, quantity, seed: _, bucket, offset } = &**sample;
        if bucket.is_some() || offset.is_some() {
            return unknown("a sample of another engine");
        }
        self.optional(quantity.as_ref().map(|q| &q.value))
    }
}
