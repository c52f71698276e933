
    
    select
      count(*) as failures,
      count(*) != 0 as should_warn,
      count(*) != 0 as should_error
    from (
      
    
  
    
    



select "table"
from "y"."stats"."documents"
where "table" is null



  
  
      
    ) dbt_internal_test