
    
    select
      count(*) as failures,
      count(*) != 0 as should_warn,
      count(*) != 0 as should_error
    from (
      
    
  

select "table", source, snapshot, language, host
from "y"."stats"."documents"
group by all
having count(*) > 1

  
  
      
    ) dbt_internal_test