
    
    select
      count(*) as failures,
      count(*) != 0 as should_warn,
      count(*) != 0 as should_error
    from (
      
    
  
    
    



select component
from "y"."stats"."mixture_balance"
where component is null



  
  
      
    ) dbt_internal_test