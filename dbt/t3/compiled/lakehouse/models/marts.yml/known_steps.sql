
    
    

with all_values as (

    select
        step as value_field,
        count(*) as n_records

    from "y"."stats"."waterfall"
    group by step

)

select *
from all_values
where value_field not in (
    'records','skipped','pages','in','dropped','kept','mixed','packed'
)


