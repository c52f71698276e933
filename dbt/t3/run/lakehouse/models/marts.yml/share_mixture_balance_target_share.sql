
    
    select
      count(*) as failures,
      count(*) != 0 as should_warn,
      count(*) != 0 as should_error
    from (
      
    
  

select target_share
from "y"."stats"."mixture_balance"
where not target_share between 0 and 1

  
  
      
    ) dbt_internal_test