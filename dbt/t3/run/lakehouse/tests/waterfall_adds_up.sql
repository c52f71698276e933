
    
    select
      count(*) as failures,
      count(*) != 0 as should_warn,
      count(*) != 0 as should_error
    from (
      
    
  select "table"
from "y"."stats"."waterfall"
where step in ('pages', 'in', 'dropped', 'kept')
group by "table"
having bool_or(step in ('pages', 'in'))
    and sum(if(step in ('pages', 'in'), documents, -documents)) <> 0
  
  
      
    ) dbt_internal_test