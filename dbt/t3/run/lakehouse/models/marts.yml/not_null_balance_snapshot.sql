
    
    select
      count(*) as failures,
      count(*) != 0 as should_warn,
      count(*) != 0 as should_error
    from (
      
    
  
    
    



select snapshot
from "y"."stats"."balance"
where snapshot is null



  
  
      
    ) dbt_internal_test