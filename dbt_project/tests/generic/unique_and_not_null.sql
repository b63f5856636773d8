{#- The column is a key: no value twice and none missing, found in one scan instead of two. -#}
{% test unique_and_not_null(model, column_name) %}

select
    {{ column_name }},
    count(*) as rows_with_this_key

from {{ model }}
group by {{ column_name }}
having count(*) > 1 or {{ column_name }} is null

{% endtest %}
