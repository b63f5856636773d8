{#- How the large tables take in only what changed, and are the same afterwards as if built anew.

    An incremental model is made of whole groups of rows: all rows with the same value in its `unique_key`
    (an order, a customer, a visitor) are built together. Its file says in a block `affected_keys` which
    groups a change upstream touches, and restricts what it reads to them by `where_affected`. A build
    deletes these groups and inserts them anew; a group that is gone at the source has nothing to insert.

    What changed upstream is known from two places:
    - raw rows carry the batch that brought them or marked them as deleted, and ledger.batches numbers the
      batches in the order of their commits;
    - each build of an incremental model notes the keys that it wrote in ledger.model_changes.
    What a model has taken in of both stands in ledger.model_states, written in the transaction of the
    model's rows: a build that is killed is done again. No batch is committed during a build, because the
    platform lets dbt run under the warehouse's writer lock.

    A model is rebuilt in full by itself when there is nothing to go on from: its SQL, a staging view or a
    macro that it uses, its columns or the reporting time zone changed; an incremental model that it reads
    was rebuilt in full; it missed more builds upstream than are noted; or a raw table was set right by a
    replay from the lake, which may concern rows of any batch. -#}

{#- How many builds of a model stay in ledger.model_changes. -#}
{% macro noted_builds() %}{{ return(50) }}{% endmacro %}

{#- `{% call affected_keys() %} select <unique_key> ... {% endcall %}`: the groups to build anew. Every model
    that is read must occur in it with `changed`, or the build stops: a forgotten one would leave old rows. -#}
{% macro affected_keys() -%}
    {%- set keys_sql = caller() -%}
    {%- if execute and model.resource_type == 'model' -%}
        {%- do _check_that_every_input_counts() -%}
        {%- if _goes_on() -%}
            {%- set key = config.get('unique_key') -%}
            {%- do run_query('drop table if exists ' ~ _affected()) -%}
            {%- do run_query(
                'create temporary table ' ~ _affected() ~ ' as select distinct ' ~ key
                ~ ' from (' ~ keys_sql ~ ') as affected where ' ~ key ~ ' is not null'
            ) -%}
            {%- if target.type == 'postgres' -%}
                {%- do run_query('analyze ' ~ _affected()) -%}
            {%- endif -%}
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}

{#- Of a staging model: the raw rows, with the columns' names in raw, that came, changed or were deleted
    since this model was built. Of an incremental model: its keys whose rows were written anew since. -#}
{% macro changed(relation) -%}
    {%- if _goes_on() -%}
        {%- set input = graph.nodes['model.' ~ project_name ~ '.' ~ relation.identifier] -%}
    {%- endif -%}
    {%- if not input -%}
        (select * from {{ relation }} where false)
    {%- elif input.config.materialized == 'incremental' -%}
        {%- set key = input.config.unique_key -%}
        {%- set columns = adapter.get_columns_in_relation(relation) -%}
        {%- set column = columns | selectattr('name', 'equalto', key) | first -%}
        (
            select cast(changed_key as {{ column.data_type }}) as {{ key }}
            from ledger.model_changes
            where
                relation = '{{ _name_of(relation) }}'
                and build > {{ _taken_in(_name_of(relation)).build }}
        )
    {%- else -%}
        {%- set raw = graph.sources[input.depends_on.nodes[0]] -%}
        (
            select * from {{ raw.relation_name }}
            where _batch_id in (
                select batch_id from ledger.batches
                where
                    source = '{{ raw.source_name }}'
                    and table_name = '{{ raw.name }}'
                    and sequence > {{ _state().sequence }}
            )
        )
    {%- endif -%}
{%- endmacro %}

{#- A WHERE clause that restricts `column` to the affected keys; nothing in a full build. -#}
{% macro where_affected(column) -%}
    {%- if _goes_on() -%}
        where {{ column }} in (select {{ config.get('unique_key') }} from {{ _affected() }})
    {%- endif -%}
{%- endmacro %}

{#- Whether this build goes on from the rows that are there. A unit test has none. -#}
{% macro _goes_on() %}
    {%- do return(execute and model.resource_type == 'model' and is_incremental()) -%}
{% endmacro %}

{#- The strategy `affected_keys`, which dbt calls by this name. -#}
{% macro get_incremental_affected_keys_sql(arguments) -%}
    {%- set target_relation = arguments['target_relation'] -%}
    {%- set key = arguments['unique_key'] -%}
    {%- set columns = get_quoted_csv(arguments['dest_columns'] | map(attribute='name')) -%}
    insert into ledger.model_changes (relation, build, changed_key)
    select '{{ _name_of(target_relation) }}', {{ _state().build + 1 }}, cast({{ key }} as text)
    from {{ _affected() }};

    delete from {{ target_relation }}
    where {{ key }} in (select {{ key }} from {{ _affected() }});

    insert into {{ target_relation }} ({{ columns }})
    select {{ columns }} from {{ arguments['temp_relation'] }}
{%- endmacro %}

{#- After every build of an incremental model, in its transaction: what the model is now made of. -#}
{% macro record_build() -%}
    {%- if execute and config.get('materialized') == 'incremental' -%}
        {%- set name = _name_of(this) -%}
        {%- set state = _state() -%}
        {%- set went_on = _affected() in model.compiled_code -%}
        {%- set build = state.build if went_on else 0 -%}
        {%- set inputs = {} -%}
        {%- for input in _incremental_inputs() -%}
            {%- set now = _states()[input.name] -%}
            {%- do inputs.update({input.name: {'generation': now.generation, 'build': now.build}}) -%}
        {%- endfor -%}
        delete from ledger.model_changes
        where
            relation = '{{ name }}'
            and build <= {{ build - noted_builds() if went_on else 'build' }};

        delete from ledger.model_states where relation = '{{ name }}';

        insert into ledger.model_states (
            relation, generation, build, code_checksum, sequence, inputs, built_at
        )
        select
            '{{ name }}',
            '{{ state.generation if went_on else invocation_id }}',
            {{ build }}
            {%- if went_on %} + (select case when count(*) > 0 then 1 else 0 end from {{ _affected() }})
            {%- endif %},
            '{{ _code_checksum() }}',
            coalesce(max(sequence), 0),
            '{{ tojson(inputs) }}',
            current_timestamp
        from ledger.batches
    {%- endif -%}
{%- endmacro %}

{#- dbt asks this before it goes on from the rows that are there. -#}
{% macro should_full_refresh() %}
    {%- set asked_for = config.get('full_refresh') -%}
    {%- if asked_for is none -%}
        {%- set asked_for = flags.FULL_REFRESH -%}
    {%- endif -%}
    {%- if not asked_for and execute and config.get('materialized') == 'incremental' -%}
        {%- if 'has_nothing_to_go_on_from' not in model -%}
            {%- do model.update({'has_nothing_to_go_on_from': _has_nothing_to_go_on_from()}) -%}
        {%- endif -%}
        {%- do return(model['has_nothing_to_go_on_from']) -%}
    {%- endif -%}
    {%- do return(asked_for) -%}
{% endmacro %}

{% macro _has_nothing_to_go_on_from() %}
    {%- set state = _state() -%}
    {%- if state.generation is none or state.code_checksum != _code_checksum() -%}
        {%- do return(true) -%}
    {%- endif -%}
    {%- for input in _incremental_inputs() -%}
        {%- set now = _states()[input.name] -%}
        {%- set taken_in = _taken_in(input.name) -%}
        {%- if (
            now.generation is none
            or now.generation != taken_in.generation
            or now.build - noted_builds() > taken_in.build
        ) -%}
            {%- do return(true) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- set replayed = run_query(
        "select source, table_name from ledger.batches where kind = 'replay' and sequence > " ~ state.sequence
    ) -%}
    {%- for input in _inputs() | selectattr('config.materialized', 'equalto', 'view') -%}
        {%- set raw = graph.sources[input.depends_on.nodes[0]] -%}
        {%- for row in replayed.rows -%}
            {%- if (row['source'], row['table_name']) == (raw.source_name, raw.name) -%}
                {%- do return(true) -%}
            {%- endif -%}
        {%- endfor -%}
    {%- endfor -%}
    {%- do return(false) -%}
{% endmacro %}

{#- A digest of all that decides what rows a model has: its SQL and columns, the staging views below it,
    the project's macros that these use, and the reporting time zone. -#}
{% macro _code_checksum() %}
    {%- set parts = [reporting_time_zone(), tojson(_column_types(model))] -%}
    {%- set macros = [] -%}
    {%- for node in [model] + _inputs() | selectattr('config.materialized', 'equalto', 'view') | list -%}
        {%- do parts.append(node.raw_code) -%}
        {%- for macro_id in node.depends_on.macros -%}
            {%- do _add_macro(macro_id, macros) -%}
        {%- endfor -%}
    {%- endfor -%}
    {%- for name in macros | sort -%}
        {%- do parts.append(context[name].macro.macro_sql) -%}
    {%- endfor -%}
    {%- do return(local_md5(parts | join('\n'))) -%}
{% endmacro %}

{#- The macro and those that it calls; the macros of dbt and its adapters are left out. -#}
{% macro _add_macro(macro_id, names) %}
    {%- set name = macro_id.split('.')[-1] -%}
    {%- if macro_id.startswith('macro.' ~ project_name ~ '.') and name not in names -%}
        {%- do names.append(name) -%}
        {%- for called in context[name].macro.depends_on.macros -%}
            {%- do _add_macro(called, names) -%}
        {%- endfor -%}
    {%- endif -%}
{% endmacro %}

{% macro _column_types(node) %}
    {%- set types = [] -%}
    {%- for name, column in node.columns.items() -%}
        {%- do types.append([name, column.get('data_type')]) -%}
    {%- endfor -%}
    {%- do return(types) -%}
{% endmacro %}

{#- The models that this one reads, as dbt's graph has them. -#}
{% macro _inputs() %}
    {%- set inputs = [] -%}
    {%- for unique_id in model.depends_on.nodes | sort -%}
        {%- if unique_id in graph.nodes -%}
            {%- do inputs.append(graph.nodes[unique_id]) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- do return(inputs) -%}
{% endmacro %}

{% macro _incremental_inputs() %}
    {%- set inputs = [] -%}
    {%- for node in _inputs() | selectattr('config.materialized', 'equalto', 'incremental') -%}
        {%- do inputs.append({'name': node.schema ~ '.' ~ node.alias}) -%}
    {%- endfor -%}
    {%- do return(inputs) -%}
{% endmacro %}

{% macro _check_that_every_input_counts() %}
    {%- for node in _inputs() -%}
        {%- set is_staging = node.fqn[1] == 'staging' -%}
        {%- if not is_staging and node.config.materialized != 'incremental' -%}
            {%- do exceptions.raise_compiler_error(
                model.name ~ ' is incremental and reads ' ~ node.name ~ ', of which it is not known what changes. '
                ~ 'Read a staging model or an incremental model instead, or make ' ~ model.name ~ ' a table.'
            ) -%}
        {%- endif -%}
        {%- if "ref('" ~ node.name ~ "')" not in _changed_calls() -%}
            {%- do exceptions.raise_compiler_error(
                model.name ~ ' reads ' ~ node.name ~ ', but its affected_keys do not say which keys a change there '
                ~ "touches. Add a SELECT from changed(ref('" ~ node.name ~ "'))."
            ) -%}
        {%- endif -%}
    {%- endfor -%}
{% endmacro %}

{#- The arguments of `changed` in the model's file. -#}
{% macro _changed_calls() %}
    {%- set calls = modules.re.findall('changed\\(\\s*(ref\\(.*?\\))\\s*\\)', model.raw_code) -%}
    {%- do return(calls) -%}
{% endmacro %}

{% macro _affected() %}{{ return('affected__' ~ model.name) }}{% endmacro %}

{% macro _name_of(relation) %}{{ return(relation.schema ~ '.' ~ relation.identifier) }}{% endmacro %}

{#- What ledger.model_states says of this model and of the incremental models that it reads, by name; asked
    once and kept with the model. One that was never built has no generation. -#}
{% macro _states() %}
    {%- if 'model_states' not in model -%}
        {%- set names = [_name_of(this)] + (_incremental_inputs() | map(attribute='name') | list) -%}
        {%- set states = {} -%}
        {%- for name in names -%}
            {%- do states.update({
                name: {'generation': none, 'build': 0, 'code_checksum': none, 'sequence': 0, 'inputs': {}}
            }) -%}
        {%- endfor -%}
        {%- set found = run_query(
            "select relation, generation, build, code_checksum, sequence, inputs from ledger.model_states "
            ~ "where relation in ('" ~ names | join("', '") ~ "')"
        ) -%}
        {%- for row in found.rows -%}
            {%- do states.update({row['relation']: {
                'generation': row['generation'],
                'build': row['build'] | int,
                'code_checksum': row['code_checksum'],
                'sequence': row['sequence'] | int,
                'inputs': fromjson(row['inputs']),
            }}) -%}
        {%- endfor -%}
        {%- do model.update({'model_states': states}) -%}
    {%- endif -%}
    {%- do return(model['model_states']) -%}
{% endmacro %}

{% macro _state() %}{{ return(_states()[_name_of(this)]) }}{% endmacro %}

{#- Up to which build of an incremental model this one has taken in its changes. -#}
{% macro _taken_in(name) %}
    {%- do return(_state().inputs.get(name, {'generation': none, 'build': 0})) -%}
{% endmacro %}
